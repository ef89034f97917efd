// The list of the answers on the server, the newest first, with a search. With a patient it has the
// scores over time, too.

import { $, h, fill } from './dom.js';
import { t, time, onLanguage } from './i18n.js';
import { readInstruments, readInstrument, pick, listName } from './instruments.js';
import { readAdverseEvent, isOpen } from './adverseevents.js';
import { readResponses } from './readresponses.js';
import { showPlot, closePlot } from './scoreplot.js';

const pageSize = 20;

let responses = [];         // what has been read so far
let next = null;            // the cursor of what follows, null at the end
let state = '';             // '', 'loading', 'failed', 'behind'
let error = null;           // what is wrong with the search, as a function that says it
let searched = {};          // the filters of what is shown
let instruments = [];       // of the study that is searched
const definitions = new Map();
let events = new Map();     // the adverse events of what is shown, by id; null if one could not be read
let control = new AbortController();

/** Shows the list, read anew. */
export function openResponseList() {
  $('listHeading').focus({ preventScroll: true });
  search();
}

/** Stops asking. */
export function closeResponseList() {
  control.abort();
  closePlot($('listPlot'));
}

async function search() {
  const study = $('searchStudy').value.trim();
  const patientId = $('searchPatient').value.trim();
  const [from, to] = [$('searchFrom').value, $('searchTo').value];
  searched = {
    study, patientId, visitId: $('searchVisit').value.trim(), instrument: $('searchInstrument').value,
    from: from && new Date(`${from}T00:00`).toISOString(), to: to && endOf(to),
  };
  responses = [];
  events = new Map();
  next = null;
  closePlot($('listPlot'));
  if (from && to && from > to) {
    control.abort();
    error = () => t('badDays');
    state = '';
    render();
    return;
  }
  readNames(study);
  await read();
  if (patientId && !error && state !== 'failed') showPlot($('listPlot'), searched);
}

// When the day after begins on this device: answers are searched for that were given before.
function endOf(day) {
  const end = new Date(`${day}T00:00`);
  end.setDate(end.getDate() + 1);
  return end.toISOString();
}

async function readNames(study) {
  const { items } = await readInstruments(study).catch(() => ({ items: instruments }));
  instruments = items;
  renderInstruments();
}

async function read() {
  control.abort();
  control = new AbortController();
  const { signal } = control;
  error = null;
  state = 'loading';
  render();
  try {
    const answer = await readResponses({ ...searched, limit: pageSize, cursor: next }, signal);
    responses.push(...answer.items);
    next = answer.next;
    state = answer.upToDate === false ? 'behind' : '';
  } catch (e) {
    if (signal.aborted) return;
    state = e.problem ? '' : 'failed';
    if (e.problem) error = () => e.problem.detail;
  }
  render();
  await Promise.all([...responses.map(readDefinition), readEvents(events)]);
  if (!signal.aborted) render();
}

async function readEvents(known) {
  const ids = responses.flatMap((response) => response.adverseEvents).filter((id) => !known.has(id));
  await Promise.all(ids.map(async (id) => known.set(id, await readAdverseEvent(id))));
}

// The names of scores and bands, once for each version of an instrument.
async function readDefinition({ study, instrument, version }) {
  const key = keyOf({ study, instrument, version });
  if (definitions.has(key)) return;
  definitions.set(key, null);
  definitions.set(key, await readInstrument({ id: instrument, version }, study).catch(() => null));
}

const keyOf = ({ study, instrument, version }) => JSON.stringify([study, instrument, version]);

function render() {
  fill($('search-error'), error?.() ?? '');
  $('found').replaceChildren(...responses.map(row));
  const nothing = !responses.length && !error ? t('noResponses') : '';
  fill($('listState'), { loading: t('listLoading'), failed: t('listFailed'), behind: t('responsesBehind') }[state] ?? nothing);
  $('older').hidden = !next && state !== 'failed';
  $('older').textContent = t(state === 'failed' ? 'tryNow' : 'olderResponses');
  $('older').disabled = state === 'loading';
}

function renderInstruments() {
  const before = $('searchInstrument').value;
  const titles = new Map(instruments.map((one) => [one.id, listName(pick(one.title))]));
  $('searchInstrument').replaceChildren(h('option', { value: '', textContent: t('anyInstrument') }), ...[...titles].map(([value, textContent]) => h('option', { value, textContent })));
  $('searchInstrument').value = titles.has(before) ? before : '';
}

function row(response) {
  const { id, study, patientId, visitId, instrument, status, flags, scores, times } = response;
  const definition = definitions.get(keyOf(response));
  const title = pick(definition?.title ?? instruments.find((one) => one.id === instrument)?.title) || instrument;
  const raised = flags.filter((flag) => flag.state === 'raised');
  const statusText = { accepted: 'statusAccepted', processing: 'statusProcessing', retrying: 'statusRetrying', completed: 'statusCompleted', failed: 'statusFailed' }[status];
  // An amendment without the flag leaves open what an earlier revision has raised.
  const unjudged = response.adverseEvents.filter((one) => isOpen(events.get(one))).length;
  const words = [unjudged ? t('urgentOpen', { n: unjudged }) : '', raised.length ? t('flagCount', { n: raised.length }) : ''].filter(Boolean);
  const badges = [];
  const unknown = flags.filter((flag) => flag.urgent && flag.state === 'unknown');   // which does not mean no
  if (words.length) badges.push(badge(words.join(' · '), unjudged || raised.some((flag) => flag.urgent) ? 'failed' : 'problems'));
  if (unknown.length) badges.push(badge(t(unknown.some((flag) => flag.item) ? 'urgentNotAnswered' : 'urgentNotScored'), 'problems'));
  if (!badges.length || (status === 'failed' && !words.length)) badges.unshift(badge(t(statusText), status));
  return h('li', {}, h('a', { href: `#/${id}` },
    h('span', { className: 'foundHead' }, h('b', { textContent: patientId }), visitId ? h('span', { textContent: visitId }) : '', study ? h('span', { textContent: study }) : '', h('span', { className: 'badges' }, ...badges)),
    h('span', { className: 'foundTime', textContent: `${title} · ${time(times.authored, { dateStyle: 'medium', timeStyle: 'short' })}` }),
    h('span', { className: 'foundScores' }, ...scores.slice(0, 3).map((score) => h('span', { textContent: scoreText(score, definition) })))));
}

function badge(textContent, status) {
  const node = h('span', { className: 'badge', textContent });
  node.dataset.status = status;
  return node;
}

function scoreText({ id, value, band, answered, missing, imputed }, definition) {
  const rule = definition?.scores.find((one) => one.id === id);
  const bandText = pick(rule?.bands.find((one) => one.code === band)?.text) || band;
  const gaps = imputed?.length ? ` · ${t('imputedCount', { n: imputed.length, total: answered + missing })}` : '';
  return `${pick(rule?.title) || id} ${value ?? '–'}${bandText ? ` (${bandText})` : ''}${gaps}`;
}

$('search').addEventListener('submit', (e) => { e.preventDefault(); search(); });
$('searchInstrument').addEventListener('change', search);
$('older').addEventListener('click', read);
onLanguage(() => { renderInstruments(); render(); });
