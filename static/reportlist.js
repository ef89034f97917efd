// The list of the reports on the server, the newest first, with a search. What
// is searched for stays in this page: addresses end up in the browser's history.

import { $, h, fill } from './dom.js';
import { t, time, number, language, onLanguage } from './i18n.js';

const pageSize = 20;
const shownThumbs = 4;
const statusTexts = {
  accepted: 'statusAccepted', processing: 'statusProcessing', retrying: 'statusRetrying', completed: 'statusCompleted', failed: 'statusFailed',
};

let reports = [];           // what has been read so far
let next = null;            // the cursor of what follows, null at the end
let state = '';             // '', 'loading', 'failed', 'behind'
let error = null;           // the server's words about the search
let searched = {};          // the filters of what is shown
let control = new AbortController();

/** Shows the list, read anew. */
export function openReportList() {
  $('listHeading').focus();
  search();
}

/** Stops asking. */
export function closeReportList() {
  control.abort();
}

function search() {
  searched = { patientId: $('searchPatient').value.trim(), visitId: $('searchVisit').value.trim(), status: $('searchStatus').value };
  reports = [];
  next = null;
  read();
}

async function read() {
  control.abort();
  control = new AbortController();
  const { signal } = control;
  error = null;
  state = 'loading';
  render();
  try {
    const response = await fetch(`case-reports?${query()}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
    const answer = await response.json();
    if (response.status === 400) error = answer.detail;
    else if (!response.ok) throw new Error(`status ${response.status}`);
    else {
      reports.push(...answer.items);
      next = answer.next;
    }
    state = answer.upToDate === false ? 'behind' : '';
  } catch {
    if (signal.aborted) return;
    state = 'failed';
  }
  render();
}

// An empty filter is left out: the server refuses it.
function query() {
  const filters = Object.entries(searched).filter(([, value]) => value);
  return new URLSearchParams([...filters, ['limit', pageSize], ['include', 'notes'], ...(next ? [['cursor', next]] : [])]);
}

function render() {
  fill($('search-error'), error ?? '');
  $('found').replaceChildren(...reports.map(row));
  const nothing = !reports.length && !error ? t('nothingFound') : '';
  fill($('listState'), { loading: t('listLoading'), failed: t('listFailed'), behind: t('listBehind') }[state] ?? nothing);
  $('older').hidden = !next && state !== 'failed';
  $('older').textContent = t(state === 'failed' ? 'tryNow' : 'older');
  $('older').disabled = state === 'loading';
}

function row(report) {
  const { id, patientId, visitId, status, createdAt, notes, problems } = report;
  const words = problems.length ? t('workProblems', { n: problems.length }) : t(statusTexts[status]) ?? status;
  const badge = h('span', { className: 'badge', textContent: words });
  badge.dataset.status = problems.length ? 'problems' : status;
  return h('li', {}, h('a', { href: `#/${id}` },
    h('span', { className: 'foundHead' }, h('b', { textContent: patientId }), visitId ? h('span', { textContent: visitId }) : '', badge),
    h('span', { className: 'foundTime', textContent: time(createdAt, { dateStyle: 'medium', timeStyle: 'short' }) }),
    thumbs(report),
    notes ? h('span', { className: 'foundNotes', textContent: notes }) : ''));
}

function thumbs({ images }) {
  const more = images.length - shownThumbs;
  return h('span', { className: 'thumbs' },
    ...images.slice(0, shownThumbs).map(({ thumbUrl, n }) => (thumbUrl
      ? h('img', { src: thumbUrl, alt: t('problemOf', { image: n }), loading: 'lazy', width: 64, height: 48 })
      : h('span', { className: 'thumb', textContent: String(n) }))),
    more > 0 ? h('span', { className: 'thumb', textContent: `+${number(more)}` }) : '');
}

$('search').addEventListener('submit', (e) => { e.preventDefault(); search(); });
$('searchStatus').addEventListener('change', search);
$('older').addEventListener('click', read);
onLanguage(render);
