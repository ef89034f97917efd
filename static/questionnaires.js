// The page on which a patient fills in a questionnaire: one question a screen, kept on this device
// after each answer, and sent until the server has it. The address has a random number and the
// number of the question; who answers, and what, is never in it.

import { $, h, fill, announce } from './dom.js';
import { t, time, toggleLanguage, onLanguage, language, languages } from './i18n.js';
import { newId } from './digest.js';
import { all, get, put, remove, lasting, onNotKept, askToKeep } from './keep.js';
import { pick } from './instruments.js';
import { sendKept, handIn, onNews, news, tryNow, sendAgain, forget } from './outbox.js';
import { readStart, onStart, openStart, isId } from './startform.js';
import { hasFile } from './studies.js';
import { showQuestion, answersList, questionText } from './question.js';
import { withOffset } from './zone.js';

const views = ['start', 'fill', 'check', 'sent'];
let record = null;          // the response that is open
let place = '';             // where in it: '' its state, 'check', or the number of a question
let doubted = '';           // the response and the study, without a file, with which sending again was pressed: once more sends
let crises = [];            // {id, text, language} or {id, general}, until they were read

// #/{id}/{n} is a question, #/{id}/check all answers, #/{id} where they are; anything else begins anew.
async function route() {
  const [, id, at = ''] = /^#\/([A-Za-z0-9._-]{1,64})(?:\/(\d{1,4}|check))?$/.exec(location.hash) ?? [];
  const here = location.hash;
  // What is open is newer than what is kept of it: an answer may be on its way there.
  const found = id && record?.id !== id ? await get('responses', id) : record;
  if (location.hash !== here) return;     // it has changed meanwhile
  record = id ? found ?? { id, state: 'gone' } : null;
  place = record?.state === 'draft' ? at || String(record.at ?? 1) : '';
  if (Number(place) > record?.definition?.items.length) place = 'check';
  render();
  focus();
  if (document.body.dataset.view === 'sent') announce($('sentState').textContent);
}

function focus() {
  const first = { start: 'startHeading', fill: 'questionText', check: 'checkHeading', sent: 'sentHeading' }[document.body.dataset.view];
  if (crises.length) $('crisisHeading').focus();
  else if (document.body.dataset.view !== 'start' || document.activeElement !== document.body) $(first).focus({ preventScroll: true });
  scrollTo(0, 0);
}

function render() {
  const view = !record ? 'start' : record.state !== 'draft' ? 'sent' : place === 'check' ? 'check' : 'fill';
  document.body.dataset.view = view;
  for (const one of views) $(one).hidden = one !== view;
  $('leave').hidden = view !== 'fill' && view !== 'check';
  document.title = record?.definition ? `${pick(record.definition.title)} – casepress` : t('questionnaires');
  ({ start: openStart, fill: renderQuestion, check: renderCheck, sent: renderSent })[view]();
  renderCrisis();
  if (view === 'start') renderKept();
}

// ---- filling in ----

async function begin() {
  const given = readStart();
  if (!given) return;
  askToKeep();
  record = { id: newId(), state: 'draft', answers: {}, at: 1, checked: false, started: withOffset(new Date()), ...given };
  await put('responses', record);
  location.hash = `#/${record.id}/1`;
}

const items = () => record.definition.items;
const isAnswered = (item) => record.answers[item.id] !== undefined;
const missing = () => items().map((item, i) => ({ item, n: i + 1 })).filter(({ item }) => !isAnswered(item));

function renderQuestion() {
  showQuestion(record, Number(place), answer);
  renderActions();
}

function renderActions() {
  const n = Number(place);
  const answered = isAnswered(items()[n - 1]);
  $('clear').hidden = !answered;
  $('back').hidden = n === 1 && !record.checked;
  $('back').href = `#/${record.id}/${record.checked ? 'check' : n - 1}`;
  $('backText').textContent = t(record.checked ? 'toCheck' : 'back');
  $('nextText').textContent = t(answered ? 'next' : 'skip');
  $('next').classList.toggle('second', !answered);
}

function answer(value) {
  const { id } = items()[Number(place) - 1];
  const answers = { ...record.answers };
  if (value === undefined) delete answers[id];
  else answers[id] = value;
  record = { ...record, answers, at: Number(place) };
  put('responses', record);
  renderActions();
}

function clearAnswer() {
  answer(undefined);
  showQuestion(record, Number(place), answer);
  announce(t('cleared'));
  $('questionText').focus();
}

// Once all questions were seen, the next one is the next without an answer.
function next() {
  const n = Number(place);
  const after = record.checked ? missing().find((one) => one.n > n)?.n : n + 1;
  location.hash = `#/${record.id}/${after && after <= items().length ? after : 'check'}`;
}

function renderCheck() {
  const open = missing();
  if (!record.checked) {
    record = { ...record, checked: true, at: 'check' };
    put('responses', record);
  }
  $('checkSummary').textContent = open.length ? t('checkMissing', { n: open.length }) : t('checkWhole');
  $('answerMissing').hidden = !open.length;
  $('answerMissing').href = `#/${record.id}/${open[0]?.n ?? 1}`;
  $('sendAnswers').textContent = open.length ? t('sendWithout', { n: open.length }) : t('sendAnswers');
  $('sendAnswers').classList.toggle('second', open.length > 0);
  $('checkList').replaceChildren(...answersList(record, (n) => {
    const link = h('a', { href: `#/${record.id}/${n}`, textContent: t('changeShort') });
    link.setAttribute('aria-label', t('changeAnswer', { n }));
    return link;
  }));
}

async function sendNow() {
  if ($('sendAnswers').disabled) return;
  $('sendAnswers').disabled = true;   // pressing twice sends once
  record = await handIn(record);
  $('sendAnswers').disabled = false;
  location.hash = `#/${record.id}`;
}

// ---- where the answers are ----

function stateText() {
  const latest = news.get(record.id);
  if (latest?.phase === 'stored') return t(latest.same ? 'answersStored' : 'answersDiffer');
  if (record.state === 'differs') return t('answersDiffer');
  if (record.state === 'stored') return t('answersStored');
  if (record.state === 'refused') return t(record.problem.status === 409 ? 'answersConflict' : 'answersRefused');
  if (record.state === 'gone') return t('nothingKept');
  if (latest?.phase === 'waiting') return t({ offline: 'waitOffline', network: 'waitNetwork', busy: 'waitBusy', full: 'waitFull', strange: 'waitStrange' }[latest.why] ?? 'waitServer');
  return t('answersSending');
}

function renderSent() {
  const latest = news.get(record.id);
  const receipt = latest?.receipt;
  const waiting = record.state === 'waiting' && latest?.phase === 'waiting';
  $('sentHeading').textContent = record.definition ? pick(record.definition.title) : t('questionnaires');
  $('sent').dataset.mark = record.state === 'refused' || record.state === 'differs' ? 'bad' : receipt ? 'done' : waiting ? 'held' : 'now';
  $('sentState').textContent = stateText();
  const detail = waiting ? [t('answersWaiting'), t('againOnline')].join(t('gap')) : record.problem?.detail ? t('serverSays', record.problem)
    : latest?.studyUnknown ? t('storedStudyUnknown') : '';
  fill($('sentDetail'), detail);
  // Nobody has seen the answers yet, and what they say of the patient's safety cannot be told here.
  const unread = (waiting || record.state === 'refused') && record.definition?.flags?.some(({ urgent }) => urgent);
  fill($('sentSafety'), unread ? [t('answersUnread'), t('crisisGeneral')].join(t('gap')) : '');
  $('sentReceipt').hidden = !receipt;
  if (receipt) {
    $('sentId').textContent = record.id;
    $('sentDigest').textContent = receipt.sha256;
    $('sentSequence').textContent = String(receipt.sequence);
    $('sentTime').textContent = time(receipt.receivedAt);
    document.title = `${t('titleStored')} – casepress`;
  }
  $('sentVerified').hidden = !latest?.same;
  $('tryNow').hidden = !waiting;
  // Other answers under the id stay there whatever the study is.
  const correctable = record.state === 'refused' && record.problem.status !== 409;
  if (correctable && ($('correct').hidden || $('correct').dataset.of !== record.id)) {   // what was typed for one is not for another
    [$('correctStudy').value, $('correctSite').value] = [record.study, record.site];
    fill($('correct-error'), '');
    $('correct').dataset.of = record.id;
  }
  $('correct').hidden = !correctable;
  $('removeSent').hidden = record.state !== 'refused' && record.state !== 'differs';
  $('sentAnswers').hidden = !record.document || Boolean(latest?.same);
  $('sentList').replaceChildren(...(record.document ? answersList(record) : []));
}

async function sendCorrected() {
  const [study, site] = [$('correctStudy').value.trim(), $('correctSite').value.trim()];
  const wrong = [study, site].some((value) => value && !isId(value));
  fill($('correct-error'), wrong ? t('badId') : '');
  if (wrong || $('sendCorrected').disabled) return;
  const of = record;      // another one may be open once the server has answered
  $('sendCorrected').disabled = true;
  try {
    const known = await hasFile(study);
    if (record?.id !== of.id || record.state !== 'refused') return;
    const pressed = `${of.id} ${study}`;
    if (known === false && doubted !== pressed) {
      doubted = pressed;
      fill($('correct-error'), [t('studyUnknown', { study }), t('checkField'), t('sendAnyway')].join(t('gap')));
      return;
    }
    await sendAgain({ ...of, study, site });
    if (record?.id === of.id) $('sentHeading').focus({ preventScroll: true });
  } finally {
    $('sendCorrected').disabled = false;
  }
}

async function removeSent() {
  if (!confirm(t('removeRefusedSure'))) return;
  await forget(record.id);
  announce(t('removedKept'));
  location.hash = '';
}

async function changed(id, crisis) {
  if (crisis) addCrisis({ id, ...crisis });
  if (record?.id === id && document.body.dataset.view === 'sent') {
    const before = $('sentState').textContent;
    const kept = await get('responses', id);
    if (record?.id !== id) return;
    record = kept ? { ...record, ...kept } : { ...record, state: news.get(id)?.phase === 'stored' ? 'stored' : 'gone' };
    renderSent();
    if ($('sentState').textContent !== before) announce($('sentState').textContent);
  } else if (!record) await renderKept();
}

// ---- what is kept ----

async function renderKept() {
  const kept = (await all('responses')).filter((one) => one.state !== 'stored').sort((a, b) => (a.id < b.id ? 1 : -1));
  $('kept').hidden = !kept.length;
  $('keptList').replaceChildren(...kept.map((one) => {
    const draft = one.state === 'draft';
    const title = pick(one.definition.title);
    const open = h('a', { className: 'button second', href: draft ? `#/${one.id}/${one.at ?? 1}` : `#/${one.id}`, textContent: t(draft ? 'continueDraft' : 'showKept') });
    open.setAttribute('aria-label', `${open.textContent}: ${title}`);
    const row = h('li', {},
      h('p', { className: 'keptTitle', textContent: title }),
      h('p', { className: 'keptWhose' }, h('b', { textContent: one.patientId }), ` ${one.visitId} `, h('span', { textContent: time(one.authored ?? one.started, { dateStyle: 'medium', timeStyle: 'short' }) })),
      h('p', { className: 'badge keptState', textContent: t({ draft: 'keptDraft', waiting: 'keptWaiting', refused: 'keptRefused', differs: 'keptDiffers' }[one.state]) }),
      h('div', { className: 'keptActions' }, open));
    row.querySelector('.badge').dataset.status = { refused: 'failed', differs: 'failed', waiting: 'retrying' }[one.state] ?? '';
    if (draft) {
      const button = h('button', { type: 'button', className: 'button second', textContent: t('removeKept') });
      button.setAttribute('aria-label', `${button.textContent}: ${title}`);
      button.addEventListener('click', async () => {
        if (!confirm(t('removeDraftSure'))) return;
        await forget(one.id);
        announce(t('removedKept'));
        $('startHeading').focus();
      });
      row.querySelector('.keptActions').append(button);
    }
    return row;
  }));
}

// ---- the crisis text ----

function addCrisis(crisis) {
  if (crises.some(({ id }) => id === crisis.id)) return;
  crises.push(crisis);
  renderCrisis();
  $('crisisHeading').focus();
  scrollTo(0, 0);
}

function renderCrisis() {
  const [first] = crises;
  $('crisis').hidden = !first;
  // The page's own text is there in all its languages: which one the patient reads best is not known.
  const said = first?.general ? languages().map((one) => [t('crisisGeneral', {}, one), one]) : first ? [[first.text, first.language ?? '']] : [];
  $('crisisText').replaceChildren(...said.map(([textContent, lang]) => h('p', { textContent, lang })));
}

async function crisisRead() {
  const [{ id }] = crises.splice(0, 1);
  const kept = await get('responses', id);
  if (kept?.state === 'stored') await remove('responses', id);
  else if (kept) await put('responses', { ...kept, crisis: null });
  renderCrisis();
  focus();
}

// ---- without a connection ----

// A service worker exists only where the address is https or this device: elsewhere the open page
// is all that works without a connection, and says so.
async function keepPage() {
  let ready = false;
  try {
    await navigator.serviceWorker.register('questionnaires-worker.js', { scope: 'questionnaires.html' });
    await navigator.serviceWorker.ready;
    ready = true;
  } catch { /* said below */ }
  onLanguage(() => { $('offlineHint').textContent = t(ready ? 'offlineReady' : 'offlineOpenOnly'); });
}

async function openCrises() {
  for (const { id, crisis } of await all('responses')) if (crisis) addCrisis({ id, ...crisis });
}

addEventListener('hashchange', route);
addEventListener('beforeunload', (e) => {
  if (!lasting && record?.definition && record.state !== 'stored') e.preventDefault();
});
$('fill').addEventListener('submit', (e) => { e.preventDefault(); next(); });
$('clear').addEventListener('click', clearAnswer);
$('sendAnswers').addEventListener('click', sendNow);
$('tryNow').addEventListener('click', () => tryNow(record.id));
$('correct').addEventListener('submit', (e) => { e.preventDefault(); sendCorrected(); });
$('removeSent').addEventListener('click', removeSent);
$('crisisRead').addEventListener('click', crisisRead);
$('language').addEventListener('click', () => {
  toggleLanguage();
  if (document.body.dataset.view === 'fill') announce(questionText(record, Number(place)));
});
onNotKept(() => { $('notKept').hidden = false; });
onNews(changed);
onStart(begin);
await route();
onLanguage(async () => {
  // The questions follow the language of the page where they are there in it.
  if (record?.state === 'draft') {
    const wording = record.definition.languages.find((tag) => tag === language) ?? record.definition.languages.find((tag) => tag.slice(0, 2) === language.slice(0, 2));
    if (wording && wording !== record.language) {
      record = { ...record, language: wording };
      put('responses', record);
    }
  }
  render();
});
openCrises();
sendKept();
keepPage();
