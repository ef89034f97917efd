// What is on the desk: all cases that are open, and the newest of the others. It is read every few
// seconds. What could not be read stays as it was, and the page says how old it is.

import { $, h, fill } from './dom.js';
import { t, time, language, onLanguage } from './i18n.js';
import { clockText, whatText, stateText, isLate } from './casetexts.js';

const pause = 4000;           // between two answers
const pageSize = 20;          // of cases that are not open
const mostOpen = 1000;        // beyond it the page says that there are more

const parts = {               // of the list, by state
  acknowledged: { cases: [], limit: pageSize, more: false },
  closed: { cases: [], limit: pageSize, more: false },
};
let open = [];
let moreOpen = false;
let study = '';
let exercise = '';            // 'include' if exercises are listed too
let error = '';
let readAt = null;            // when the server answered last
let lost = false;             // it does not answer
let listener = () => {};
let anew = true;              // what is read next is another question than before
let timer = null;
let control = new AbortController();

/** Calls back with all open cases whenever they were read, and whether they are the first of a search. */
export function onOpenCases(callback) { listener = callback; }

/** Reads at once, as after a step that was taken here, and then again and again for as long as the page is there. */
export async function readDesk() {
  clearTimeout(timer);
  control.abort();
  control = new AbortController();
  const { signal } = control;
  try {
    const found = [];
    let next = null;
    do {
      const page = await ask({ state: 'open,notified', limit: 200, cursor: next }, signal);
      found.push(...page.items);
      next = page.next;
    } while (next && found.length < mostOpen);
    for (const [state, part] of Object.entries(parts)) {
      const page = await ask({ state, limit: part.limit }, signal);
      part.cases = page.items;
      part.more = Boolean(page.next) && part.limit < 200;
    }
    open = found.sort((a, b) => a.clock.dueAt.localeCompare(b.clock.dueAt));
    moreOpen = Boolean(next);
    readAt = new Date();
    lost = false;
    error = '';
    listener(open, anew);
    anew = false;
  } catch (e) {
    if (signal.aborted) return;
    if (e.problem) error = e.problem;
    else lost = true;
  }
  render();
  timer = setTimeout(readDesk, pause);
}

async function ask(filters, signal) {
  const query = new URLSearchParams(Object.entries({ ...filters, study, exercise }).filter(([, value]) => value));
  const response = await fetch(`adverse-events?${query}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
  if (response.status === 400) throw Object.assign(new Error('refused'), { problem: (await response.json()).detail });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

function render() {
  fill($('search-error'), error);
  $('openHeading').textContent = moreOpen ? t('deskOpenMore', { n: open.length }) : t('deskOpenHeading', { n: open.length });
  $('noneOpen').hidden = open.length > 0 || !readAt;
  $('openCases').replaceChildren(...open.map(row));
  for (const [state, part] of Object.entries(parts)) {
    $(`${state}Cases`).replaceChildren(...part.cases.map(row));
    $(state === 'closed' ? 'olderClosed' : 'olderAcknowledged').hidden = !part.more;
  }
  $('acknowledgedHeading').parentElement.hidden = !parts.acknowledged.cases.length;
  $('closedHeading').parentElement.hidden = !parts.closed.cases.length;
  const at = readAt && time(readAt, { timeStyle: 'medium' });
  $('deskState').textContent = lost ? (at ? t('deskLost', { at }) : t('listFailed')) : at ? t('deskReadAt', { at }) : t('listLoading');
  $('deskState').classList.toggle('bad', lost);
}

function row(one) {
  const badge = h('span', { className: 'badge', textContent: stateText(one) });
  const waits = one.state === 'open' || one.state === 'notified';
  badge.dataset.status = waits ? 'failed' : one.state === 'closed' ? 'completed' : 'problems';
  const clock = h('span', { className: 'foundTime deskDue', textContent: clockText(one) });
  clock.dataset.late = String(isLate(one));
  return h('li', {}, h('a', { href: `#/${one.id}` },
    h('span', { className: 'foundHead' }, h('b', { textContent: one.patientId }), one.visitId ? h('span', { textContent: one.visitId }) : '', one.study ? h('span', { textContent: one.study }) : '', badge),
    h('span', { className: 'deskWhat', textContent: whatText(one) }), clock));
}

$('searchExercises').addEventListener('change', () => $('search').requestSubmit());
$('search').addEventListener('submit', (e) => {
  e.preventDefault();
  study = $('searchStudy').value.trim();
  exercise = $('searchExercises').checked ? 'include' : '';
  anew = true;
  readDesk();
});
for (const [button, state] of [['olderAcknowledged', 'acknowledged'], ['olderClosed', 'closed']]) {
  $(button).addEventListener('click', () => {
    parts[state].limit = 200;
    readDesk();
  });
}
onLanguage(render);
