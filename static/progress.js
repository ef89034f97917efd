// The page of trial progress: the patients of a study and their visits as a grid, and what has come
// for the visit that is chosen. It follows what comes while somebody can see it. What is searched
// for stays in the page: addresses end up in the browser's history.

import { $, h, fill, table, announce } from './dom.js';
import { t, time, number, percent, language, onLanguage, toggleLanguage } from './i18n.js';
import { readInstruments, pick } from './instruments.js';
import { showConnection } from './connection.js';
import { keepCurrent } from './current.js';

const question = () => ({ study: $('searchStudy').value.trim(), site: $('searchSite').value.trim(), patientId: $('searchPatient').value.trim() });

let page = null;       // the first page, with the patients of those after it
let pages = 1;         // how many are shown
let loading = true;    // somebody waits for what is read
let error = '';        // what is wrong with the search, in the server's words
let searched = question();
let shown = null;      // the visit whose content is shown: {patient, visit}
let opener = null;     // the key of the cell that opened it
let titles = new Map();
let drawn = '';        // what the page shows

async function ask(filters, signal) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  const response = await fetch(`trial-progress?${query}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(`status ${response.status}`), { problem: response.status === 400 ? answer : null });
  return answer;
}

function search() {
  searched = question();
  page = null;
  pages = 1;
  shown = null;
  load();
  readTitles();
}

function load() {
  loading = true;
  render();
  readNow();
}

async function readTitles() {
  const { items } = await readInstruments(searched.study).catch(() => ({ items: [] }));
  titles = new Map(items.map((one) => [one.id, one.title]));
  render();
}

// Resolves to true while the server has not taken in all that has come.
async function read(signal) {
  const before = shown;
  try {
    let all = await ask(searched, signal);
    for (let n = 1; n < pages && all.next; n++) {
      const { patients, next, behind } = await ask({ ...searched, cursor: all.next }, signal);
      all = { ...all, next, behind, patients: [...all.patients, ...patients] };
    }
    const content = before && await visitOf(before.patient.patientId, before.visit.visitId, signal);
    signal.throwIfAborted();
    page = all;
    if (content && shown === before) shown = { ...before, visit: content };
    error = '';
  } catch (e) {
    if (signal.aborted || !e.problem) throw e;
    error = e.problem.detail;
  }
  loading = false;
  render();
  return page?.behind > 0;
}

async function visitOf(patientId, visitId, signal) {
  const answer = await ask({ study: searched.study, patientId, visitId }, signal);
  return answer.patients[0]?.visits.find((one) => one.visitId === visitId);
}

async function open(key, patient, visitId) {
  opener = key;
  try {
    const visit = await visitOf(patient.patientId, visitId);
    if (!visit) return;
    shown = { patient, visit };
    render();
    $('detailHeading').focus();
  } catch {
    announce(t('listFailed'));
  }
}

function close() {
  shown = null;
  render();
  cellOf(opener)?.focus();
}

// Whatever has come for a patient may change figures of a site, also of the one where the patient was before.
function concerns({ study = '', patientId }) {
  return study === searched.study && (!searched.patientId || patientId === searched.patientId);
}

const cellOf = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);

/** A day of UTC, such as 2026-11-27, for people. */
const day = (text, options = { dateStyle: 'medium' }) => time(`${text}T00:00:00Z`, { ...options, timeZone: 'UTC' });

const visitTitle = (id) => page.schedule.find((one) => one.id === id)?.title || id || t('noVisitName');

const itemTitle = (item) => (item === 'case-report' ? t('itemCaseReport') : pick(titles.get(item)) || item);

// What a cell says: never by its colour alone.
function words(visit) {
  const due = visit.items.filter((item) => item.state !== 'unscheduled');
  const done = due.filter((item) => item.day).length;
  const missing = due.filter((item) => item.state === 'missing').length;
  const came = visit.state === 'unscheduled' ? t('itemUnscheduled')
    : visit.state === 'completed' ? t('cellCompleted')
      : visit.state === 'started' ? t('cellStarted', { done, due: due.length }) : t('cellExpected');
  const late = missing ? t('cellMissing', { n: missing }) : visit.late ? t('cellLate') : '';
  const failed = visit.items.some((item) => item.failed && !item.day) ? t('cellFailed') : '';
  return { came, late, failed };
}

function cell(patient, visit) {
  const { came, late, failed } = words(visit);
  const key = `${patient.patientId} ${visit.visitId}`;
  const mark = late || failed ? '!' : { completed: '✓', started: '◐', unscheduled: '+' }[visit.state] ?? '○';
  const marked = h('span', { className: 'mark', textContent: mark });
  marked.setAttribute('aria-hidden', 'true');
  const button = h('button', { type: 'button', className: 'visitCell' }, marked,
    h('span', { className: 'hidden', textContent: t('cellLabel', { patient: patient.patientId, visit: visitTitle(visit.visitId) }) }),
    h('span', {}, h('b', { textContent: late || came }), late && visit.state !== 'expected' ? h('small', { textContent: came }) : '',
      failed ? h('small', { textContent: failed }) : '',
      visit.window && visit.state !== 'completed' ? h('small', { textContent: t('cellDays', { from: day(visit.window.from, short), to: day(visit.window.to, short) }) }) : ''));
  button.dataset.key = key;
  button.dataset.state = late ? 'late' : failed ? 'failed' : visit.state;
  button.addEventListener('click', () => open(key, patient, visit.visitId));
  return button;
}

const short = { day: 'numeric', month: 'short' };

function renderGrid() {
  const others = page.patients.some(({ visits }) => visits.some((one) => one.state === 'unscheduled'));
  const heads = [t('patientId'), t('site'), t('compliance'), ...page.schedule.map((one) => one.title), ...(others ? [t('otherVisits')] : [])];
  const rows = page.patients.map((patient) => {
    const scheduled = page.schedule.map((plan) => patient.visits.find((one) => one.visitId === plan.id));
    return h('tr', {},
      h('th', { scope: 'row' }, h('b', { textContent: patient.patientId })),
      h('td', { textContent: patient.site || '–' }),
      h('td', { className: 'number', textContent: share(patient.compliance) }),
      ...scheduled.map((visit) => h('td', {}, visit ? cell(patient, visit) : '')),
      ...(others ? [h('td', {}, ...patient.visits.filter((one) => one.state === 'unscheduled').map((visit) => {
        const button = cell(patient, visit);
        button.querySelector('b').textContent = visitTitle(visit.visitId);
        return button;
      }))] : []));
  });
  const grid = table(t('gridCaption'), heads, rows);
  grid.querySelectorAll('thead th').forEach((head, i) => {
    const plan = page.schedule[i - 3];
    if (plan) head.append(h('small', { textContent: t('dayOfStudy', { day: number(plan.day) }) }));
  });
  grid.classList.add('gridBox');
  $('grid').replaceChildren(h('h2', { textContent: t('gridCaption') }), grid);
}

const share = (compliance) => (compliance === null ? '–' : percent(compliance));

function renderFigures() {
  const row = (figures, name, title) => h('tr', {},
    h('th', { scope: 'row' }, h('b', { textContent: name }), title ? h('small', { textContent: title }) : ''),
    ...['late', 'missing', 'patients', 'expectedSoFar', 'completed', 'early'].map((key) => h('td', { textContent: number(figures[key]) })),
    h('td', { className: 'number', textContent: share(figures.compliance) }));
  // What somebody opens the page for comes first: on a phone the rest is beyond the edge.
  const heads = ['site', 'tooLate', 'isMissing', 'patients', 'expectedSoFar', 'inTime', 'tooEarly', 'compliance'].map((key) => t(key));
  $('figures').replaceChildren(h('h2', { textContent: `${page.title || page.study || t('trialProgress')} · ${t('progressDay', { day: day(page.today) })}` }),
    ...(isUnknown() ? [h('p', { className: 'flag urgent', textContent: [t('studyUnknown', page), t('nothingPlanned')].join(t('gap')) })]
      : page.schedule.length ? [] : [h('p', { className: 'plain', textContent: t(page.study ? 'noSchedule' : 'noStudyChosen') })]));
  if (isUnknown() && !page.patients.length) return;     // figures of nothing would read as if nothing were late
  $('figures').append(table(t('figuresCaption'), heads, [row(page.totals, t('allSites')), ...page.sites.map((one) => row(one, one.site || t('noSiteNamed'), one.title))]));
}

// Every file of a study has a title.
const isUnknown = () => Boolean(page.study) && !page.title;

function renderDetail() {
  const { patient, visit } = shown;
  $('detailHeading').textContent = t('detailHeading', { patient: patient.patientId, visit: visitTitle(visit.visitId) });
  const planned = visit.window
    ? t('plannedFor', { day: day(visit.window.day), from: day(visit.window.from), to: day(visit.window.to) })
    : t(visit.state === 'unscheduled' ? 'plannedNot' : 'plannedUnknown');
  $('detailBody').replaceChildren(h('p', { className: 'plain', textContent: planned }), h('ul', { className: 'items' }, ...visit.items.map((item) => {
    const names = { expected: 'itemExpected', completed: 'itemCompleted', early: 'itemEarly', late: 'itemLate', missing: 'itemMissing', unscheduled: 'itemUnscheduled' };
    const failed = item.failed && !item.day;
    const badge = h('span', { className: 'badge', textContent: t(names[item.state]) });
    badge.dataset.status = ['late', 'missing'].includes(item.state) ? 'failed' : item.state === 'completed' ? 'completed' : 'problems';
    const came = item.submissions ?? [];
    const rest = (item.submissionCount ?? 0) - came.length;
    return h('li', {}, h('div', { className: 'itemHead' }, h('b', { textContent: itemTitle(item.item) }), badge),
      failed ? h('p', { className: 'error', textContent: t('itemFailed') }) : '',
      came.length ? h('ul', {}, ...came.map(submission)) : '',
      rest > 0 ? h('p', { className: 'plain', textContent: t('notShown', { n: number(rest) }) }) : '');
  })));
}

// Where people read what has come.
function submission({ kind, id, revision, status, occurredAt, url }) {
  const href = kind === 'questionnaire-response' ? `responses.html#/${id}/${revision}` : kind === 'case-report' ? `./#/${id}` : url?.slice(1);
  const when = time(occurredAt, { dateStyle: 'medium', timeStyle: 'short' });
  const text = status === 'failed' ? t('cameFailed', { time: when }) : revision > 1 ? t('cameAt', { time: when, revision: number(revision) }) : when;
  return h('li', {}, href ? h('a', { href, textContent: id }) : h('span', { textContent: id }), ` ${text}`);
}

function render() {
  fill($('search-error'), error);
  const behind = page?.behind ? t('progressBehind', { n: number(page.behind) }) : '';
  fill($('trialState'), loading ? t('listLoading') : page && !page.patients.length ? (isUnknown() ? behind : t('progressNone')) : behind);
  $('more').hidden = !page?.next;
  $('more').disabled = loading;
  const look = JSON.stringify([page && { ...page, behind: 0, next: '' }, shown, [...titles], language]);
  if (look === drawn) return;
  drawn = look;
  $('figures').hidden = !page;
  $('grid').hidden = !page?.patients.length;
  $('detail').hidden = !shown;
  keepPlace(() => {
    if (page) renderFigures();
    if (page?.patients.length) renderGrid();
    if (shown) renderDetail();
  });
}

// What is drawn again by itself must not take the focus from anybody, nor scroll the tables back.
function keepPlace(draw) {
  const scrolled = () => [...document.querySelectorAll('.tableBox')];
  const focused = document.activeElement, before = scrolled().map((box) => box.scrollLeft), box = scrolled().indexOf(focused);
  const item = [...$('detailBody').querySelectorAll('a')].indexOf(focused);
  draw();
  scrolled().forEach((one, i) => { one.scrollLeft = before[i] ?? 0; });
  if (focused?.isConnected || document.activeElement !== document.body) return;
  const again = focused.dataset.key ? cellOf(focused.dataset.key) : box >= 0 ? scrolled()[box] : $('detailBody').querySelectorAll('a')[item];
  again?.focus({ preventScroll: true });
}

$('search').addEventListener('submit', (e) => { e.preventDefault(); search(); });
$('more').addEventListener('click', () => { pages++; load(); });
$('closeDetail').addEventListener('click', close);
$('language').addEventListener('click', toggleLanguage);
const readNow = keepCurrent({ types: 'patient-data-update', concerns, read, onConnection: showConnection, inBackground: false });
onLanguage(render);
readTitles();
