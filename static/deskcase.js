// One adverse event: what it is, its clock, its timeline, and what a person does with it. It is read
// again whenever it has changed on the server.

import { $, h, fill, table, announce, alarm } from './dom.js';
import { t, time, language, onLanguage } from './i18n.js';
import { newId } from './digest.js';
import { addressOf } from './adverseevents.js';
import { clockText, stateText, decisionText, isLate, span } from './casetexts.js';
import { readFlagTexts, flagText, flagCause, instrumentTitle } from './flagtexts.js';
import { readDesk } from './desklist.js';
import { learnTime } from './servertime.js';
import { keepCurrent } from './current.js';

const answerWithin = 30_000;  // ms: until then no other step can be sent

let id = null;                // null while no case is shown
let shown = null;             // the case as the server tells it
let tag = null;               // the ETag of it
let drawn = '';               // what the page shows of it
let state = '';               // '', 'loading', 'lost', 'unknown'
let followUpId = newId();     // the same on every try
let busy = false;

/** Shows a case, and follows it. */
export function openCase(of) {
  id = of;
  shown = null;
  tag = null;
  state = 'loading';
  followUpId = newId();
  for (const form of forms) {
    form.node.reset();
    fill($(`${form.node.id}-error`), '');
  }
  $('ackOfCell').hidden = true;
  render();
  $('caseHeading').focus({ preventScroll: true });
  readCase();
}

/** Shows it no longer. */
export function closeCase() {
  id = null;
}

// Resolves to true while the case is queued: that a worker has taken it over is told by no event.
async function read(signal) {
  const of = id;
  if (!of) return false;
  const headers = { Accept: 'application/json', 'Accept-Language': language };
  if (tag) headers['If-None-Match'] = tag;
  try {
    const response = await fetch(addressOf(of), { headers, signal, cache: 'no-store' });
    learnTime(response);
    if (response.status !== 304 && response.status !== 404 && !response.ok) throw new Error(`status ${response.status}`);
    const answer = response.ok ? await response.json() : null;
    if (of !== id) return false;
    if (answer) {
      if (shown && !shown.acknowledgement && answer.acknowledgement) announce(t('deskAcknowledgedBy', { patient: answer.patientId, name: answer.acknowledgement.name }));
      shown = answer;
      tag = response.headers.get('ETag');
      readFlagTexts([answer]).then((news) => { if (news) render(); });
    }
    state = response.status === 404 ? 'unknown' : '';
  } catch (e) {
    if (of === id && (!signal.aborted || signal.reason.name === 'TimeoutError')) state = 'lost';   // if it is not wanted any more, another one follows
    render();
    throw e;
  }
  render();
  return state === '' && !['completed', 'failed'].includes(shown.status);
}

function render() {
  if (!id) return;
  fill($('caseState'), { loading: t('listLoading'), lost: shown ? '' : t('listFailed'), unknown: t('deskUnknown') }[state] ?? '');   // the page says anyway that it is not connected
  $('caseHeading').textContent = shown ? `${id} · ${stateText(shown)}` : id;
  $('caseBody').hidden = !shown;
  if (!shown) return;
  showClock();
  for (const { node } of forms) node.querySelector('button').disabled = busy;
  const look = JSON.stringify([shown, shown.flag && [flagText(shown), flagCause(shown)], language]);
  if (look === drawn) return;   // so that the focus stays where it is
  drawn = look;
  $('casePatient').textContent = shown.patientId;
  $('caseVisit').textContent = shown.visitId ?? '–';
  $('caseStudy').textContent = [shown.study, shown.site].filter(Boolean).join(' · ') || '–';
  $('caseWhat').replaceChildren(...what());
  $('caseTimeline').replaceChildren(timeline());
  $('casePdf').href = `${addressOf(id)}/timeline.pdf`;
  for (const [form, needed] of [['acknowledge', !shown.acknowledgement], ['close', shown.state === 'acknowledged']]) {
    if (!needed && $(form).contains(document.activeElement)) $('caseHeading').focus({ preventScroll: true });   // and not to the top of the page
    $(form).hidden = !needed;
  }
}

// The clock goes on between two readings.
function showClock() {
  if (!id || !shown) return;
  const clock = $('caseClock'), text = clockText(shown);
  if (clock.textContent !== text) clock.textContent = text;
  clock.dataset.late = String(isLate(shown));
  clock.dataset.waits = String(!shown.acknowledgement);
}

function what() {
  const all = [];
  if (shown.exercise) all.push(h('p', { className: 'flag', textContent: t('deskExerciseHint') }));
  if (shown.description) all.push(h('p', { className: 'deskDescription', textContent: shown.description }));
  if (shown.source) {
    const link = `responses.html#/${shown.source.id}/${shown.source.revision}`;
    const cause = flagCause(shown);
    all.push(h('p', { className: 'flag urgent' }, h('b', { textContent: flagText(shown) })));
    if (cause) all.push(h('p', { className: 'deskCause' }, h('q', { textContent: cause.asked }), ' ', h('b', { textContent: cause.value })));
    all.push(h('p', { className: 'plain', textContent: `${instrumentTitle(shown)} · ${shown.flag.code}` }), h('p', { className: 'links' }, h('a', { href: link, textContent: t('deskAnswers') })));
  }
  if (shown.acknowledgement?.of) all.push(h('p', { className: 'links' }, h('a', { href: `#/${shown.acknowledgement.of}`, textContent: t('deskOther', { id: shown.acknowledgement.of }) })));
  if (shown.seriousness.length) all.push(h('ul', { className: 'deskCriteria' }, ...shown.seriousness.map((code) => h('li', { className: 'flag urgent' }, h('b', { textContent: t(`seriousness-${code}`) }), ` (${code})`))));
  const facts = [[t('deskKnownAt'), time(shown.knownAt, toTheSecond)], [t('deskOnsetAt'), time(shown.onsetAt, toTheSecond)], [t('deskReporter'), shown.reporter ?? '–'], [t('deskDueAt'), time(shown.clock.dueAt, toTheSecond)]]
    .filter(([, value]) => value !== '–');
  all.push(h('dl', { className: 'times' }, ...facts.flatMap(([name, value]) => [h('dt', { textContent: name }), h('dd', { textContent: value })])));
  if (shown.images.length) all.push(h('p', { textContent: t('deskImages', { names: shown.images.map(({ imageId }) => imageId).join(', ') }) }));
  if (shown.warnings.length) all.push(h('ul', {}, ...shown.warnings.map(({ code }) => h('li', { className: 'flag', textContent: warningText(code) }))));
  return all;
}

// Where the server has no study of the case, it is no study that sets the limit.
function warningText(code) {
  const ofNone = !shown.study || shown.warnings.some((one) => one.code === 'unknown-study');
  return (ofNone && t(`caseWarning-${code}-no-study`)) || (t(`caseWarning-${code}`) ?? t(`warning-${code}`) ?? code);
}

const toTheSecond = { dateStyle: 'medium', timeStyle: 'medium' };    // the page names the zone once, for all times

function timeline() {
  const heads = [t('deskAt'), t('deskStep'), t('deskAfter'), t('deskElapsed'), t('deskWho')];
  const box = table(t('deskTimeline'), heads, shown.timeline.map((step) => {
    const said = [step.decision && decisionText(step), step.channel, step.note, step.description, step.reason].filter(Boolean);
    const name = h('th', { scope: 'row' }, h('b', { textContent: t(`step-${step.step}`) ?? step.step }), ...said.map((text) => h('small', { textContent: text })));
    return h('tr', {}, h('td', { textContent: time(step.at, toTheSecond) }), name,
      h('td', { className: 'number', textContent: span(step.afterSeconds * 1000) }), h('td', { textContent: span(step.elapsedSeconds * 1000) }), h('td', { textContent: step.who ?? '–' }));
  }));
  // On a phone a row is a block of lines, each with its column's name: a screen reader must be told that it is a table still.
  const roles = { table: 'table', 'thead, tbody': 'rowgroup', tr: 'row', 'thead th': 'columnheader', 'tbody th': 'rowheader', td: 'cell' };
  for (const [nodes, role] of Object.entries(roles)) for (const node of box.querySelectorAll(nodes)) node.setAttribute('role', role);
  for (const row of box.querySelectorAll('tbody tr')) heads.forEach((text, i) => { row.children[i].dataset.column = text; });
  return box;
}

const value = (field) => $(field).value.trim();

// What each form sends. check names the first field that lacks something.
const forms = [
  {
    node: $('acknowledge'), path: 'acknowledge', done: 'deskAcknowledged',
    check: () => (!value('ackName') ? ['ackName', 'deskNeedName'] : !value('ackDecision') ? ['ackDecision', 'deskNeedDecision'] : value('ackDecision') === 'duplicate' && !value('ackOf') ? ['ackOf', 'deskNeedOf'] : null),
    body: () => ({
      name: value('ackName'), decision: value('ackDecision'), ...value('ackDecision') === 'duplicate' && { of: value('ackOf') }, ...value('ackNote') && { note: value('ackNote') },
    }),
  },
  {
    node: $('followUp'), path: 'follow-ups', done: 'deskFollowedUp',
    check: () => (!value('followDescription') ? ['followDescription', 'deskNeedText'] : null),
    body: () => ({ id: followUpId, description: value('followDescription'), ...value('followName') && { name: value('followName') } }),
  },
  {
    node: $('close'), path: 'close', done: 'deskClosed',
    check: () => (!value('closeName') ? ['closeName', 'deskNeedName'] : !value('closeReason') ? ['closeReason', 'deskNeedText'] : null),
    body: () => ({ name: value('closeName'), reason: value('closeReason') }),
  },
];

// What became of a step with a case that is not shown any more. It stays until somebody says that it was seen.
let otherSteps = [];          // { id, key, detail }, the last of each case

function tellOfOther(of, key, detail = '') {
  otherSteps = [...otherSteps.filter((one) => one.id !== of), { id: of, key, detail }];
  showOtherSteps();
  alarm(t(key, { id: of, detail }));
}

function showOtherSteps() {
  $('otherSteps').replaceChildren(...otherSteps.map((one) => h('li', { className: 'notice bad' },
    h('p', { textContent: t(one.key, one) }),
    h('div', { className: 'deskActions' },
      h('a', { className: 'button second', href: `#/${one.id}`, textContent: t('deskShowCase', one) }),
      h('button', { type: 'button', className: 'button second', textContent: t('deskSeen', one), onclick: () => seen(one) })))));
}

function seen(one) {
  otherSteps = otherSteps.filter((other) => other !== one);
  showOtherSteps();
  (id ? $('caseHeading') : $('listHeading')).focus({ preventScroll: true });   // the button is gone
}

async function send(form) {
  const of = id, error = $(`${form.node.id}-error`);
  fill(error, '');
  const wrong = form.check();
  if (wrong) {
    fill(error, t(wrong[1]));
    $(wrong[0]).focus();
    return;
  }
  busy = true;
  render();
  try {
    const response = await fetch(`${addressOf(of)}/${form.path}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', Accept: 'application/json', 'Accept-Language': language }, body: JSON.stringify(form.body()), signal: AbortSignal.timeout(answerWithin),
    });
    const answer = await response.json();
    if (of !== id) {
      if (!response.ok) tellOfOther(of, answer.stored === false ? 'deskOtherRefused' : 'deskOtherSays', answer.detail ?? t('deskNotSent'));
    } else if (response.ok) {
      shown = answer.timelineCut ? { ...answer, timeline: shown.timeline } : answer;   // what is new comes with the next reading
      const name = form.node.querySelector('[autocomplete="name"]').value;
      form.node.reset();
      followUpId = newId();
      for (const field of ['ackName', 'followName', 'closeName']) $(field).value ||= name; // until the page is left
      announce(t(form.done));
    } else {
      fill(error, answer.detail ?? t('deskNotSent'));
    }
  } catch {
    if (of === id) fill(error, t('deskNotSent'));
    else tellOfOther(of, 'deskOtherUnsure');   // what was typed is gone with its form
  } finally {
    busy = false;
    render();
    readCase();                 // in the place of a reading that may have begun before
    readDesk();
  }
}

for (const form of forms) {
  form.node.addEventListener('submit', (e) => {
    e.preventDefault();
    if (!busy) send(form);
  });
}
const readCase = keepCurrent({ types: 'adverse-event', concerns: ({ data }) => data.submissionId === id, read });
setInterval(showClock, 1000);
$('ackDecision').addEventListener('change', () => { $('ackOfCell').hidden = $('ackDecision').value !== 'duplicate'; });
onLanguage(() => { render(); showOtherSteps(); });
