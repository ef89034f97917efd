// The page of trial progress: the patients of a study and their visits as a grid, and what has come
// for the visit that is chosen. What is searched for stays in the page: addresses end up in the
// browser's history.

import { $, h, fill, table, announce } from './dom.js';
import { t, time, number, percent, language, onLanguage, toggleLanguage } from './i18n.js';
import { readInstruments, pick } from './instruments.js';

let page = null;       // the first page, with the patients of those after it
let state = 'loading'; // '', 'loading', 'failed'
let error = '';        // what is wrong with the search, in the server's words
let searched = {};
let shown = null;      // the visit whose content is shown: {patient, visitId, visit}
let opener = null;     // the key of the cell that opened it
let titles = new Map();
let control = new AbortController();

async function ask(filters, signal) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  const response = await fetch(`trial-progress?${query}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(`status ${response.status}`), { problem: response.status === 400 ? answer : null });
  return answer;
}

function search() {
  searched = { study: $('searchStudy').value.trim(), site: $('searchSite').value.trim(), patientId: $('searchPatient').value.trim() };
  page = null;
  shown = null;
  readTitles();
  read();
}

async function readTitles() {
  const { items } = await readInstruments(searched.study).catch(() => ({ items: [] }));
  titles = new Map(items.map((one) => [one.id, one.title]));
  render();
}

async function read() {
  control.abort();
  control = new AbortController();
  const { signal } = control;
  state = 'loading';
  error = '';
  render();
  try {
    const answer = await ask({ ...searched, cursor: page?.next }, signal);
    page = page ? { ...page, next: answer.next, behind: answer.behind, patients: [...page.patients, ...answer.patients] } : answer;
    state = '';
  } catch (e) {
    if (signal.aborted) return;
    state = e.problem ? '' : 'failed';
    error = e.problem?.detail ?? '';
  }
  render();
}

async function open(key, patient, visitId) {
  opener = key;
  try {
    const answer = await ask({ study: searched.study, patientId: patient.patientId, visitId });
    const visit = answer.patients[0]?.visits.find((one) => one.visitId === visitId);
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
  document.querySelector(`[data-key="${CSS.escape(opener)}"]`)?.focus();
}

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
    ...['patients', 'expectedSoFar', 'completed', 'early', 'late', 'missing'].map((key) => h('td', { textContent: number(figures[key]) })),
    h('td', { className: 'number', textContent: share(figures.compliance) }));
  const heads = ['site', 'patients', 'expectedSoFar', 'inTime', 'tooEarly', 'tooLate', 'isMissing', 'compliance'].map((key) => t(key));
  $('figures').replaceChildren(h('h2', { textContent: `${page.title || page.study || t('trialProgress')} · ${t('progressDay', { day: day(page.today) })}` }),
    ...(page.schedule.length ? [] : [h('p', { className: 'plain', textContent: t('noSchedule') })]),
    table(t('figuresCaption'), heads, [row(page.totals, t('allSites')), ...page.sites.map((one) => row(one, one.site || t('noSiteNamed'), one.title))]));
}

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
  fill($('trialState'), { loading: t('listLoading'), failed: t('listFailed') }[state] ?? (page && !page.patients.length ? t('progressNone') : behind));
  $('figures').hidden = !page;
  $('grid').hidden = !page?.patients.length;
  $('detail').hidden = !shown;
  $('more').hidden = !(page?.next || state === 'failed');
  $('more').textContent = t(state === 'failed' ? 'tryNow' : 'morePatients');
  $('more').disabled = state === 'loading';
  if (page) renderFigures();
  if (page?.patients.length) renderGrid();
  if (shown) renderDetail();
}

$('search').addEventListener('submit', (e) => { e.preventDefault(); search(); });
$('more').addEventListener('click', read);
$('closeDetail').addEventListener('click', close);
$('language').addEventListener('click', toggleLanguage);
onLanguage(render);
search();
