// The status panel beside the form: where the report is, its receipt and what
// became of it. It only shows the state it is given; others change the state.

import { $, fill, announce, copy } from './dom.js';
import { t, size, number, list, percent, time, onLanguage } from './i18n.js';
import { receiptOf, deviceWords, storedWords, workWords, workDetail } from './statustexts.js';

const blank = {
  phase: 'draft',   // draft, sending, confirming, waiting, refused, stored
  count: 0, bytes: 0,
  leftOut: [],      // names of files that were chosen and not sent
  loaded: 0, total: 0,
  why: '', until: 0,
  status: 0, problem: null,
  id: '', receipt: null,
  checked: null,    // null, 'checking', 'same', 'unreadable', or the number of a photo that differs
  report: null,     // the server's latest answer about the report
  lost: false, unknown: false,
};

let state = { ...blank };
let countdown = 0;

/** The state shown now. */
export const shown = () => state;

/** Changes part of what is shown. */
export function show(change) {
  state = { ...state, ...change };
  render();
}

/** Starts again from an empty panel with this much known. */
export function reset(known = {}) {
  state = { ...blank };
  show(known);
}

function render() {
  clearTimeout(countdown);
  renderDevice();
  renderStored();
  renderReceipt();
  renderWork();
  renderPdf();
  renderTitle();
  $('another').hidden = state.phase !== 'stored';
  if (state.phase === 'waiting') countdown = setTimeout(render, 500);
}

function step(node, mark, now) {
  node.dataset.mark = mark;
  if (now) node.setAttribute('aria-current', 'step');
  else node.removeAttribute('aria-current');
}

function renderDevice() {
  const { phase, count, leftOut } = state;
  const draft = phase === 'draft' || phase === 'refused';
  step($('stepDevice'), draft ? 'now' : leftOut.length ? 'held' : 'done', draft);
  fill($('deviceText'), deviceWords(state));
  fill($('notSent'), leftOut.length ? t('notSent', { n: leftOut.length, count: number(leftOut.length), names: list(leftOut) }) : '');
  $('send').hidden = !draft || conflict();
  $('stepDevice').hidden = phase === 'stored' && !count;
}

function renderStored() {
  const { phase } = state;
  const marks = { draft: 'next', sending: 'now', confirming: 'now', waiting: 'held', refused: 'bad', stored: 'done' };
  if (!receiptOf(state)) marks.stored = 'next';
  if (state.unknown || typeof state.checked === 'number') marks.stored = 'bad';
  step($('stepStored'), marks[phase], ['sending', 'confirming', 'waiting'].includes(phase));
  const [text, detail] = storedWords(state);
  // Not every percent, but that it began.
  if (text !== $('storedText').textContent && (phase !== 'sending' || !state.loaded)) announce(text);
  fill($('storedText'), text);
  fill($('storedDetail'), detail);
  renderProgress();
  $('openStored').hidden = !conflict();
  $('openStored').href = `#/${state.id}`;
  $('sendAsNew').hidden = !conflict();
  $('tryNow').hidden = phase !== 'waiting';
  $('stop').hidden = !['sending', 'confirming', 'waiting'].includes(phase);
  $('stop').textContent = t(phase === 'waiting' ? 'change' : 'stop');
  $('sendActions').hidden = $('stop').hidden && !conflict();
}

// The id is taken: sending it again would be refused again.
function conflict() {
  return state.phase === 'refused' && (state.status === 409 || Boolean(state.problem?.stored));
}

function renderProgress() {
  const { phase, loaded, total } = state;
  const bar = $('progress');
  bar.hidden = phase !== 'sending' && phase !== 'confirming';
  bar.value = phase === 'confirming' ? 100 : total && (100 * loaded) / total;
}

function renderReceipt() {
  const { phase, id } = state;
  const receipt = receiptOf(state);
  $('receipt').hidden = phase !== 'stored';
  if (phase !== 'stored') {
    $('verified').hidden = true;
    return;
  }
  $('receiptId').textContent = shorten(id);
  $('receiptId').title = id;
  for (const [row, name] of [['receiptStudy', 'study'], ['receiptSite', 'site']]) {
    $(row).textContent = state.report?.[name] ?? '';
    $(`${row}Row`).hidden = !$(row).textContent;
  }
  for (const row of ['receiptDigestRow', 'receiptSequenceRow', 'receiptTimeRow']) $(row).hidden = !receipt;
  if (receipt) {
    $('receiptDigest').textContent = shorten(receipt.sha256);
    $('receiptDigest').title = receipt.sha256;
    $('receiptSequence').textContent = String(receipt.sequence);
    $('receiptTime').textContent = time(receipt.receivedAt);
  }
  for (const [button, name] of [['copyId', 'copyId'], ['copyDigest', 'copyDigest']]) {
    $(button).title = t(name);
    $(button).setAttribute('aria-label', t(name));
  }
  renderChecked();
}

function renderChecked() {
  const { checked } = state;
  const words = { checking: 'checking', same: 'verified', unreadable: 'unchecked' };
  const text = typeof checked === 'number' ? t('differs', { n: checked }) : t(words[checked] ?? '') ?? '';
  const node = $('verified');
  node.hidden = !text;
  node.dataset.result = typeof checked === 'number' ? 'bad' : checked ?? '';
  node.querySelector('use').setAttribute('href', checked === 'same' || checked === 'checking' ? '#i-check' : '#i-alert');
  if (text !== node.lastElementChild.textContent && checked !== 'checking') announce(text);
  node.lastElementChild.textContent = text;
}

function renderWork() {
  const { phase, report, unknown } = state;
  const status = report?.status;
  const problems = report?.problems?.length ?? 0;
  const marks = { completed: problems ? 'held' : 'done', failed: 'bad', retrying: 'held' };
  const mark = phase === 'stored' && !unknown ? marks[status] ?? 'now' : 'next';
  step($('stepWork'), mark, mark === 'now');
  const text = workWords(state);
  if (text !== $('workText').textContent && status !== 'processing') announce(text);
  fill($('workText'), text);
  fill($('workDetail'), workDetail(state));
  const { done = 0, total = 0 } = report?.progress ?? {};
  $('workProgress').hidden = status !== 'processing' || !total;
  $('workProgress').max = total || 1;
  $('workProgress').value = done;
  $('retry').hidden = status !== 'failed';
}

function renderPdf() {
  const { phase, report, unknown } = state;
  const ready = phase === 'stored' && report?.status === 'completed' && Boolean(report.report?.url);
  step($('stepPdf'), ready ? 'done' : 'next', false);
  const known = phase === 'stored' && !unknown ? t('pdfWaiting') : '';
  fill($('pdfText'), ready ? t('pdfReady', { pages: report.report.pages, size: size(report.report.bytes) }) : known);
  $('openPdf').hidden = !ready;
  if (ready) $('openPdf').href = report.report.url;
}

// The title tells how it stands while the page is in the background.
function renderTitle() {
  const { phase, loaded, total, report } = state;
  let word = '';
  if (phase === 'sending') word = t('titleSending', { percent: percent(total ? loaded / total : 0) });
  if (phase === 'stored' && report?.status === 'completed') word = t('titleReady');
  if (phase === 'stored' && report?.status === 'failed') word = t('titleFailed');
  document.title = word ? `${word} · ${t('caseReports')}` : t('caseReports');
}

/** The start and the end of a long id or digest. */
export function shorten(text) {
  return text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text;
}

async function copyFrom(button, text) {
  if (!(await copy(text))) return;
  announce(t('copied'));
  button.dataset.copied = t('copied');
  setTimeout(() => delete button.dataset.copied, 1500);
}

$('copyId').addEventListener('click', (e) => copyFrom(e.currentTarget, state.id));
$('copyDigest').addEventListener('click', (e) => copyFrom(e.currentTarget, receiptOf(state).sha256));
onLanguage(render);
