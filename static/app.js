// The page: one report is filled in, sent until it is stored, and followed until
// its PDF is there. Nothing about a patient outlives the page: the browser keeps
// the language, study and site, and for as long as the tab is open the ids of what it sent.

import { $, h } from './dom.js';
import { t, toggleLanguage, onLanguage } from './i18n.js';
import { newId } from './digest.js';
import { photos, digests, firstUnreadable, pictureOf, leftOutNames, onPhotos } from './photos.js';
import { empty, values, check, fillFrom, refuse, refuseField } from './form.js';
import { send } from './send.js';
import { follow, isStored, retry } from './poll.js';
import { shown, show, reset } from './statuspanel.js';
import { showReport } from './reportview.js';
import { openReportList, closeReportList } from './reportlist.js';
import { loadLimits } from './limits.js';
import { remember, renderRecent, pending, setPending } from './sentreports.js';

let reportId = newId();     // one per form: the same on every try
let sender = null;
let unfollow = () => {};
const sent = new Map();     // id -> what only this page knows of a report it sent

function submit(e) {
  e.preventDefault();
  if (sender || !check()) return;
  const list = [...photos];
  setPending(reportId);
  lock(true);
  show({ id: reportId });
  sender = send({ id: reportId, fields: values(), files: list.map((p) => p.file) }, (news) => onSendNews(news, list));
}

function onSendNews(news, list) {
  if (news.phase === 'stored') return stored(news.answer, list);
  show(news);
  if (news.phase === 'waiting') lookAtPhotos();
  if (news.phase === 'refused') refused(news);
  return undefined;
}

// While a report is being sent, nothing may change it or lead away from it.
function lock(on) {
  $('fields').disabled = on;
  $('recent').inert = on;
  $('openList').inert = on;
}

// A photo that has changed or gone since it was chosen looks like a broken
// connection to the browser; trying again would never help.
async function lookAtPhotos() {
  const n = await firstUnreadable();
  if (!n || !sender) return;
  stopSending();
  refuseField('images', () => t('unreadable', { n }));
}

function refused({ status, problem }) {
  sender = null;
  lock(false);
  if (status !== 409 && !problem?.stored) setPending(null);
  // What stands at its field need not be said twice.
  if (problem?.errors?.length && refuse(problem.errors, problem.code)) show({ problem: { ...problem, detail: '' } });
}

function stopSending() {
  sender?.stop();
  sender = null;
  lock(false);
  show({ phase: 'draft' });
}

function stored(answer, list) {
  sender = null;
  lock(false);
  setPending(null);
  remember(answer.id);
  const own = { count: list.length, bytes: bytesOf(list), leftOut: leftOutNames(), receipt: answer.receipt, checked: 'checking', photos: list };
  sent.set(answer.id, own);
  compare(answer, own);
  freshForm();
  location.hash = `#/${answer.id}`;
}

// The receipt is worth what was checked: the digests the server answers against
// the digests of the files on this device.
async function compare(answer, own) {
  const mine = await digests(own.photos);
  const theirs = (answer.images ?? []).map((image) => image.sha256);
  const different = Array.from({ length: Math.max(mine.length, theirs.length) }, (_, i) => i)
    .find((i) => mine[i] !== null && mine[i] !== theirs[i]);
  if (different !== undefined) own.checked = different + 1;
  else own.checked = mine.includes(null) ? 'unreadable' : 'same';
  if (shown().id === answer.id) show({ checked: own.checked });
}

function freshForm() {
  reportId = newId();
  empty();
}

const bytesOf = (list) => list.reduce((sum, p) => sum + p.file.size, 0);

// #/{id} shows a report, #reports the list of all, anything else the form, with what the address names: see fillFrom.
function route() {
  unfollow();
  unfollow = () => {};
  closeReportList();
  const id = /^#\/(.+)$/.exec(location.hash)?.[1];
  const list = location.hash === '#reports';
  document.body.dataset.view = id ? 'report' : list ? 'list' : 'form';
  $('form').hidden = Boolean(id) || list;
  $('report').hidden = !id;
  $('list').hidden = !list;
  $('panel').hidden = list;
  // The most important part comes first: the form while it is filled in, then the status panel.
  $('paper').append(id ? $('report') : $('panel'));
  if (id) openReport(id);
  else if (list) openList();
  else openForm();
  renderRecent(id);
}

function openForm() {
  if (sender) stopSending();
  fillFrom(location.hash);
  for (const own of sent.values()) own.photos = [];   // kept no longer than needed
  reset({ count: photos.length, bytes: bytesOf(photos) });
}

function openList() {
  if (sender) stopSending();
  document.title = t('caseReports');
  openReportList();
}

function openReport(id) {
  if (sender) stopSending();
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(id)) { // no report has such an id
    reset({ phase: 'stored', id, unknown: true });
    showReport(null);
    return;
  }
  const own = sent.get(id);
  reset({ phase: 'stored', id, ...own });
  const pictures = own?.photos.map(pictureOf);
  showReport(null, pictures);
  if (own) $('panelHeading').focus();
  unfollow = follow(id, (news) => {
    show({ lost: false, ...news });
    if (news.report) showReport(news.report, pictures);
  });
}

async function again() {
  const { id } = shown();
  $('retry').disabled = true;
  try {
    await retry(id);
    route();
  } catch {
    show({ lost: true });
  } finally {
    $('retry').disabled = false;
  }
}

// A report whose answer was lost by a reload may be stored all the same.
async function recover() {
  const id = pending();
  if (!id) return;
  const there = await isStored(id);
  if (there === null) return;
  setPending(null);
  if (!there) return;
  remember(id);
  onLanguage(() => {
    $('arrivedNotice').replaceChildren(t('arrived'), h('a', { href: `#/${id}`, textContent: t('arrivedLink') }));
  });
  $('arrivedNotice').hidden = false;
  renderRecent();
}

addEventListener('hashchange', route);
addEventListener('beforeunload', (e) => { if (photos.length) e.preventDefault(); });
$('form').addEventListener('submit', submit);
$('tryNow').addEventListener('click', () => sender?.now());
$('stop').addEventListener('click', stopSending);
$('sendAsNew').addEventListener('click', () => { reportId = newId(); $('form').requestSubmit(); });
$('openStored').addEventListener('click', () => remember(reportId));
$('another').addEventListener('click', () => { location.hash = ''; $('patientId').focus(); loadLimits(); });
$('retry').addEventListener('click', again);
$('language').addEventListener('click', toggleLanguage);
onPhotos(() => show({ count: photos.length, bytes: bytesOf(photos) }));
route();
loadLimits();
recover();
