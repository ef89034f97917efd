// What is on the desk: all cases that are open, and the newest of the others. What could not be read
// stays as it was.

import { $, h, fill, showEntries } from './dom.js';
import { t, language, onLanguage } from './i18n.js';
import { clockText, whatText, seriousnessText, stateText, isLate } from './casetexts.js';
import { readFlagTexts } from './flagtexts.js';
import { learnTime } from './servertime.js';
import { keepCurrent } from './current.js';

const pageSize = 20;          // of cases that are not open
const mostOpen = 1000;        // beyond it the page says that there are more

const parts = {               // of the list, by state
  acknowledged: { cases: [], limit: pageSize, more: false },
  closed: { cases: [], limit: pageSize, more: false },
};
let open = [];                // as the list shows them
let moreOpen = false;
let known = new Set();        // ids of the cases that were open before
let fresh = new Set();        // ids of open cases that came while the page was there, and that nobody has opened here
let study = '';
let exercise = '';            // 'include' if exercises are listed too
let error = '';
let isRead = false;
let neverSeen = '';           // the study that was asked for, if the server has never had a case of it
let anew = true;              // what is read next is another question than before
let onRead = () => {};
let onConnection = () => {};
let readNow = () => {};

/**
 * Follows the desk from now on. read is called with {open, fresh, acknowledged} whenever it was
 * read: the number of open cases, the cases that have become open, and those that somebody has
 * acknowledged meanwhile. connection is called as keepCurrent does.
 */
export function followDesk(callbacks) {
  ({ read: onRead, connection: onConnection } = callbacks);
  readNow = keepCurrent({ types: 'adverse-event', read, onConnection: (now) => onConnection(now) });
}

/** Reads at once, as after a step that was taken here. */
export const readDesk = () => readNow();

/** No longer marks a case as new. */
export function look(id) {
  if (fresh.delete(id)) render();
}

async function read(signal) {
  try {
    const found = [];
    let next = null;
    do {
      const page = await ask({ state: 'open,notified', limit: 200, cursor: next }, signal);
      found.push(...page.items);
      next = page.next;
    } while (next && found.length < mostOpen);
    const others = {};
    for (const [state, part] of Object.entries(parts)) others[state] = await ask({ state, limit: part.limit }, signal);
    const none = !found.length && Object.values(others).every(({ items }) => !items.length);
    const any = none && study ? await ask({ exercise: 'include', limit: 1 }, signal) : null;
    error = '';
    neverSeen = any && !any.items.length ? study : '';
    take(found, Boolean(next), others);
  } catch (e) {
    if (signal.aborted || !e.problem) throw e;
    error = e.problem;
    if (anew) clear();
    render();
  }
}

async function ask(filters, signal) {
  const query = new URLSearchParams(Object.entries({ study, exercise, ...filters }).filter(([, value]) => value));
  const response = await fetch(`adverse-events?${query}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
  learnTime(response);
  if (response.status === 400) throw Object.assign(new Error('refused'), { problem: (await response.json()).detail });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

// Nothing is known of what was asked for, and what was there answers another question.
function clear() {
  open = [];
  moreOpen = false;
  known = new Set();
  fresh = new Set();
  neverSeen = '';
  isRead = false;
  for (const part of Object.values(parts)) Object.assign(part, { cases: [], more: false });
  onRead({ open: 0, fresh: [], acknowledged: [] });
}

// cases are all that are open, the newest first; if there are more, the newest of them.
function take(cases, more, others) {
  for (const [state, part] of Object.entries(parts)) {
    part.cases = others[state].items;
    part.more = Boolean(others[state].next) && part.limit < 200;
  }
  const here = new Set(cases.map(({ id }) => id));
  let came = anew ? [] : cases.filter(({ id }) => !known.has(id));
  const before = cases.findIndex(({ id }) => known.has(id));
  if (more && before >= 0) came = came.slice(0, before);   // those behind move up as newer ones are dealt with, and are not new
  const acknowledged = anew ? [] : parts.acknowledged.cases.filter(({ id }) => known.has(id) && !here.has(id));
  fresh = new Set([...anew ? [] : fresh, ...came.map(({ id }) => id)].filter((id) => here.has(id)));
  known = here;
  open = cases.sort((a, b) => a.clock.dueAt.localeCompare(b.clock.dueAt));
  moreOpen = more;
  isRead = true;
  anew = false;
  render();
  onRead({ open: open.length, fresh: came, acknowledged });
  readWords();
}

async function readWords() {
  if (await readFlagTexts([...open, ...Object.values(parts).flatMap(({ cases: some }) => some)])) render();
}

function render() {
  const focused = document.activeElement?.closest('.found > li')?.dataset.key;
  fill($('search-error'), error);
  $('openHeading').textContent = moreOpen ? t('deskOpenMore', { n: open.length }) : t('deskOpenHeading', { n: open.length });
  // A misspelt study must not read as if nothing were to be done.
  $('openHeading').parentElement.hidden = Boolean(neverSeen) || (Boolean(error) && !isRead);
  fill($('neverSeen'), neverSeen ? t('deskNeverSeen', { study: neverSeen }) : '');
  $('noneOpen').hidden = open.length > 0 || !isRead;
  showCases($('openCases'), open);
  for (const [state, part] of Object.entries(parts)) {
    showCases($(`${state}Cases`), part.cases);
    $(state === 'closed' ? 'olderClosed' : 'olderAcknowledged').hidden = !part.more;
  }
  $('acknowledgedHeading').parentElement.hidden = !parts.acknowledged.cases.length;
  $('closedHeading').parentElement.hidden = !parts.closed.cases.length;
  // A case that has moved to another part takes the focus along.
  if (focused && document.activeElement === document.body) document.querySelector(`.found > li[data-key="${CSS.escape(focused)}"] > a`)?.focus({ preventScroll: true });
  showClocks();
}

function showCases(list, cases) {
  showEntries(list, cases, ({ id }) => id, (one) => JSON.stringify([one, fresh.has(one.id), whatText(one), language]), draw);
}

function draw(entry, one) {
  const badge = h('span', { className: 'badge', textContent: stateText(one) });
  badge.dataset.status = isOpen(one) ? 'failed' : one.state === 'closed' ? 'completed' : 'problems';
  const isNew = fresh.has(one.id), serious = seriousnessText(one);
  entry.dataset.new = String(isNew);
  const link = entry.firstElementChild ?? entry.appendChild(h('a', { href: `#/${one.id}` }));
  link.replaceChildren(
    h('span', { className: 'foundHead' }, isNew ? h('b', { className: 'deskNew', textContent: t('deskIsNew') }) : '', h('b', { textContent: one.patientId }),
      one.visitId ? h('span', { textContent: one.visitId }) : '', one.study ? h('span', { textContent: one.study }) : '', badge),
    ...serious ? [h('span', {}, h('b', { className: 'deskSerious', textContent: serious }))] : [],
    h('span', { className: one.flag ? 'deskWhat flagged' : 'deskWhat', textContent: whatText(one) }),
    h('span', { className: 'foundTime deskDue', textContent: clockText(one) }));
}

const isOpen = ({ state }) => state === 'open' || state === 'notified';

// The clocks of open cases go on between two readings. They are in no live region: nobody wants to
// hear each minute.
function showClocks() {
  const clocks = $('openCases').querySelectorAll('.deskDue');
  open.forEach((one, i) => {
    const text = clockText(one), late = String(isLate(one));
    if (clocks[i].textContent !== text) clocks[i].textContent = text;
    if (clocks[i].dataset.late !== late) clocks[i].dataset.late = late;
  });
}

$('searchExercises').addEventListener('change', () => $('search').requestSubmit());
$('search').addEventListener('submit', (e) => {
  e.preventDefault();
  study = $('searchStudy').value.trim();
  exercise = $('searchExercises').checked ? 'include' : '';
  anew = true;
  readNow();
});
for (const [button, state] of [['olderAcknowledged', 'acknowledged'], ['olderClosed', 'closed']]) {
  $(button).addEventListener('click', () => {
    parts[state].limit = 200;
    readNow();
  });
}
setInterval(showClocks, 1000);
onLanguage(render);
