// The form before a questionnaire: who answers which. An address such as
// questionnaires.html#study=S1&site=101&visit=V02&instrument=phq-9 fills it in; nothing about the
// patient is read from an address.

import { $, h, fill, announce } from './dom.js';
import { t, onLanguage, language } from './i18n.js';
import { hasFile } from './studies.js';
import { readInstruments, readInstrument, pick, listName, languageName, tagOf, sameLanguage } from './instruments.js';

const idFields = ['study', 'site', 'patientId', 'visitId'];
const definitions = new Map();  // id and version -> definition, of the study that is chosen
let listed = [];                // the questionnaires of that study
let state = 'loading';          // 'loading', 'kept', 'failed', 'refused', 'ready'
let asked = null;               // the study and the site of which listed is
let refused = {};               // the field that the server refused -> function that gives the text
let doubted = false;            // the server has no file of the study
let told = '';                  // the study and the site with which start was pressed although they are doubted: once more begins
let linked = { study: '', site: '' };   // what the address said
let errors = {};                // field -> function that gives the text in the current language
let chosen = '';
let wordingOf = '';             // for which questionnaire and language of the page the wording was offered
let whenReady = () => {};

/** Calls back when somebody has pressed start. */
export function onStart(listener) {
  $('startForm').addEventListener('submit', (e) => {
    e.preventDefault();
    whenReady = () => {};
    if (definitions.has($('questionnaire').value) || (!$('questionnaire').value && state !== 'loading')) listener();
    else whenReady = listener;      // the list or its wording is still on the way
  });
}

/** Whether the server takes a text for an id. */
export const isId = (text) => /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/.test(text);

/** What the form says, or null if something is wrong with it, which is then marked. */
export function readStart() {
  const given = Object.fromEntries(idFields.map((name) => [name, $(name).value.trim()]));
  const found = doubted && told === asked ? {} : { ...refused };
  if (!given.patientId) found.patientId = () => t('needPatient');
  for (const name of idFields) if (given[name] && !isId(given[name])) found[name] = () => t('badId');
  const definition = definitions.get($('questionnaire').value);
  if (!definition) found.questionnaire = () => t('needQuestionnaire');
  setErrors(found);
  if (Object.keys(found).length) {
    $([...idFields, 'questionnaire'].find((name) => found[name])).focus();
    if (doubted) told = asked;
    return null;
  }
  told = '';                            // the next patient is told, too
  const wording = $('wording').value || language;
  for (const name of ['patientId', 'visitId']) $(name).value = '';     // the next one may be another
  return { ...given, definition, language: wording };
}

/** Shows the form, filled in from the address. */
export function openStart() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, field] of [['study', 'study'], ['site', 'site'], ['visit', 'visitId']]) if (given.get(name)) $(field).value = given.get(name);
  if (given.get('instrument')) chosen = given.get('instrument');
  for (const name of ['study', 'site']) linked[name] = given.get(name) ?? linked[name];
  if (whose() !== asked || doubted || state === 'failed' || state === 'refused') readList();
}

const whose = () => JSON.stringify([$('study').value.trim(), $('site').value.trim()]);

async function readList() {
  const [of, site] = [$('study').value.trim(), $('site').value.trim()];
  asked = whose();
  const here = asked;
  state = 'loading';
  listed = [];
  definitions.clear();
  for (const name of ['study', 'site']) delete errors[name];
  refused = {};
  doubted = false;
  told = '';
  render();
  try {
    const [{ items, kept }, known] = await Promise.all([readInstruments(of, site), hasFile(of)]);
    if (asked !== here) return;
    // A server without any files of studies takes this one, and one that has them takes it with a warning. Which of the two
    // it is it does not tell.
    doubted = known === false;
    if (doubted) refuse({ unknownStudy: true }, of, site);
    listed = items;
    state = kept ? 'kept' : 'ready';
    render();
    // All are read at once: there may be no connection when one is chosen.
    for (const one of items) {
      await read(one, of, here);
      if (asked !== here) return;       // the end of this list is not that of the one somebody now waits for
    }
  } catch (e) {
    if (asked !== here) return;
    state = e.problem ? 'refused' : 'failed';
    if (e.problem) refuse(e.problem, of, site);
  }
  render();
  whenReady();
  whenReady = () => {};
}

// A link may be wrong where a person cannot know what would be right: it is said before the first question.
function refuse(problem, of, site) {
  const wrong = problem.unknownStudy || (problem.errors ?? []).some(({ field }) => field === 'study') || !site ? 'study' : 'site';
  const fromLink = $(wrong).value.trim() === linked[wrong];
  const name = problem.unknownStudy ? 'studyUnknown' : wrong === 'site' ? 'noSite' : 'noStudy';
  const text = () => [t(name, { study: of || '–', site }), t(fromLink ? 'wrongLink' : 'checkField'), problem.unknownStudy ? t('startAnyway') : ''].filter(Boolean).join(t('gap'));
  refused = { [wrong]: text };
  errors = { ...errors, ...refused };
  announce(text());
}

async function read(one, of, here) {
  const definition = await readInstrument(one, of).catch(() => null);
  if (asked !== here || !definition) return;
  definitions.set(keyOf(one), definition);
  if (keyOf(one) !== $('questionnaire').value) return;
  renderWording();
  whenReady();
  whenReady = () => {};
}

const keyOf = ({ id, version }) => `${id} ${version}`;

function render() {
  const select = $('questionnaire');
  const before = select.value || chosen;
  const versions = (id) => listed.filter((one) => one.id === id).length;
  select.replaceChildren(h('option', { value: '', textContent: '' }), ...listed.map((one) => h('option', {
    value: keyOf(one), textContent: `${listName(pick(one.title))}${versions(one.id) > 1 ? ` · ${one.version}` : ''}`,
  })));
  select.value = keyOf(listed.findLast((one) => keyOf(one) === before || one.id === before) ?? { id: '', version: '' }).trim();
  $('readAgain').hidden = state !== 'failed';
  renderErrors();
  renderWording();
}

// In which language the questions are read: the page's where they are there in it, and said where not.
function renderWording() {
  const one = listed.find((i) => keyOf(i) === $('questionnaire').value);
  const tags = one?.languages ?? [];
  const none = Boolean(one) && !tags.length;
  const offered = none ? ['en', 'zh-CN'] : tags;
  const of = [one?.id, one?.version, language].join(' ');
  const best = of === wordingOf && $('wording').value ? $('wording').value : tagOf(offered);    // what was chosen stays
  wordingOf = of;
  $('wordingCell').hidden = offered.length < 2;
  $('wording').replaceChildren(...offered.map((tag) => h('option', { value: tag, textContent: languageName(tag, tag), lang: tag })));
  if (best) $('wording').value = best;
  let hint = { loading: t('questionnairesLoading'), refused: t('questionnairesRefused'), failed: t('questionnairesFailed'), kept: t('questionnairesKept') }[state] ?? '';
  if (none) hint = t('wordingNone');
  else if (best && !sameLanguage(best, language)) hint = t('wordingOnly', { languages: tags.map((tag) => languageName(tag)).join(language === 'en' ? ', ' : '、') });
  fill($('questionnaireHint'), hint);
}

function setErrors(found) {
  errors = found;
  renderErrors();
}

function renderErrors() {
  for (const name of [...idFields, 'questionnaire']) {
    const text = errors[name]?.() ?? '';
    if (text) $(name).setAttribute('aria-invalid', 'true');
    else $(name).removeAttribute('aria-invalid');
    $(name).closest('.cell').classList.toggle('wrong', Boolean(text));
    fill($(`${name}-error`), text);
  }
}

for (const name of [...idFields, 'questionnaire']) {
  $(name).addEventListener('input', () => {
    delete errors[name];
    renderErrors();
  });
}
for (const name of ['study', 'site']) $(name).addEventListener('change', () => { if (whose() !== asked) readList(); });
$('readAgain').addEventListener('click', readList);
$('questionnaire').addEventListener('change', renderWording);
addEventListener('online', () => { if (state === 'failed' || state === 'kept') readList(); });
onLanguage(render);
