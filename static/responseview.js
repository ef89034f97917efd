// One response for staff: its flags, its scores with the rule that made them, what is odd about it,
// the answers, and the times.

import { $, h, icon, fill, copy, announce, table } from './dom.js';
import { t, time, onLanguage } from './i18n.js';
import { follow } from './poll.js';
import { readInstrument, pick, languageName } from './instruments.js';
import { readAdverseEvent, isOpen as isUnjudged } from './adverseevents.js';
import { answerText } from './question.js';
import { showPlot, closePlot } from './scoreplot.js';

let shown = null;           // the response as the server tells it
let definition = null;
let later = new Map();      // the definitions of what a changed rule made, by version
let events = new Map();     // the adverse events of all revisions, by id; null if one could not be read
let state = '';             // '', 'loading', 'unknown', 'lost'
let unfollow = () => {};

/** Shows a response, by default in its latest revision, and follows it until it is scored. */
export function openResponse(id, revision) {
  shown = definition = null;
  later = new Map();
  events = new Map();
  state = 'loading';
  render();
  $('responseHeading').focus({ preventScroll: true });
  const address = `questionnaire-responses/${encodeURIComponent(id)}${revision ? `?revision=${Number(revision)}` : ''}`;
  let open = true;
  const stop = follow(id, (news) => onNews(news, () => open), address);
  unfollow = () => { open = false; stop(); };
}

/** Stops following it. */
export function closeResponse() {
  unfollow();
  unfollow = () => {};
  closePlot($('responsePlot'));
}

async function onNews({ report, unknown, lost }, isOpen) {
  state = unknown ? 'unknown' : lost ? 'lost' : '';
  shown = report ?? shown;
  if (report) definition ??= await readInstrument({ id: report.instrument, version: report.version }, report.study).catch(() => null);
  const read = new Map(later);
  for (const { rule } of report?.rescores ?? []) {
    if (!read.has(rule.version)) read.set(rule.version, await readInstrument(rule, report.study).catch(() => null));
  }
  const judged = new Map(await Promise.all((report?.adverseEvents ?? []).map(async (id) => [id, await readAdverseEvent(id)])));
  if (!isOpen()) return;
  later = read;
  if (report) events = judged;
  render();
  if (report?.status === 'completed') {
    showPlot($('responsePlot'), { study: report.study, patientId: report.patientId, instrument: report.instrument }, report);
  }
}

function render() {
  $('responseHeading').textContent = shown ? pick(definition?.title) || shown.instrument : t('responses');
  $('shownPatient').textContent = shown?.patientId ?? '–';
  $('shownVisit').textContent = shown?.visitId ?? '–';
  $('shownTime').textContent = time(shown?.times.authored, { dateStyle: 'medium', timeStyle: 'short' });
  fill($('responseState'), { loading: t('loading'), unknown: t('unknownResponse'), lost: t('askFailed') }[state] ?? '');
  $('responseBody').replaceChildren(...(shown ? [adverseEvents(), flags(), scores(), mismatches(), warnings(), answers(), times()].filter(Boolean) : []));
}

function block(heading, ...children) {
  return h('section', { className: 'block' }, h('h2', { textContent: heading }), ...children);
}

function flags() {
  const order = ({ state: s, urgent }) => (s === 'raised' ? 0 : 2) + (urgent ? 0 : 1);
  const list = [...shown.flags].sort((a, b) => order(a) - order(b)).map((flag) => {
    const rule = definition?.flags.find((one) => one.code === flag.code);
    const raised = flag.state === 'raised';
    const values = [flag.urgent ? t('flagUrgent') : '', raised ? t('flagValue', { value: flag.value }) : '', flag.code].filter(Boolean).join(', ');
    return h('li', { className: `flag ${raised ? 'raised' : 'unknown'}${flag.urgent && raised ? ' urgent' : ''}` },
      h('b', { textContent: t(raised ? 'flagRaised' : 'flagUnknown') }), `: ${pick(rule?.text)} (${values})`);
  });
  const crisis = shown.crisisText
    ? h('p', { className: 'given-crisis' }, `${t('crisisShown')}: `, h('q', { textContent: shown.crisisText, lang: shown.crisisTextLanguage }))
    : '';
  return block(t('flagsHeading'), list.length ? h('ul', {}, ...list) : h('p', { className: 'plain', textContent: t('noFlags') }), crisis);
}

// Those of all revisions: a later one without the flag does not close what an earlier one has raised.
function adverseEvents() {
  if (!shown.adverseEvents.length) return null;
  const open = shown.adverseEvents.filter((id) => isUnjudged(events.get(id))).length;
  return block(open ? `${t('adverseEvents')} (${t('urgentOpen', { n: open })})` : t('adverseEvents'), h('ul', {}, ...shown.adverseEvents.map((id) => {
    const event = events.get(id);
    const flag = pick(definition?.flags.find((one) => one.code === event?.flag.code)?.text) || event?.flag.code;
    const name = event ? t('adverseEvent', { flag, revision: event.source.revision }) : id;
    const word = event ? t(`state-${event.state}`) ?? event.state : t('adverseEventUnread');
    return h('li', { className: isUnjudged(event) ? 'flag urgent' : 'flag' }, h('b', { textContent: word }), ': ', h('a', { className: 'eventLink', href: `desk.html#/${id}`, textContent: name }));
  })));
}

function scores() {
  if (!shown.scores.length) {
    const failed = shown.status === 'failed';
    return block(t('scoresHeading'), h('p', { className: 'plain', textContent: t(failed ? 'scoringFailed' : 'notScored') }),
      failed && shown.error ? h('p', { className: 'plain', textContent: shown.error, lang: 'en' }) : '');
  }
  // What another version of the rule makes of the answers stands beside the scores and does not take their place.
  const again = (shown.rescores ?? []).flatMap((one) => {
    const heading = t('rescored', { at: time(one.madeAt, { dateStyle: 'medium', timeStyle: 'short' }) });
    return [h('h3', { textContent: heading }), ...scoreTable(heading, one.scores, later.get(one.rule.version))];
  });
  return block(t('scoresHeading'), ...scoreTable(t('scoresHeading'), shown.scores, definition), ...again);
}

function scoreTable(caption, all, made) {
  const rules = new Map(all.map(({ rule }) => [rule.sha256, rule]));
  return [table(caption, [t('score'), t('value'), t('band'), t('answered')], all.map((score) => scoreRow(score, made))), ...[...rules.values()].map(ruleLine)];
}

// All scores of a response are made by the same rule: it stands once below them.
function ruleLine(rule) {
  const button = h('button', { type: 'button', className: 'copy' }, icon('copy'));
  button.setAttribute('aria-label', t('copyRule'));
  button.addEventListener('click', async () => {
    if (await copy(rule.sha256)) announce(t('copied'));
  });
  return h('p', { className: 'plain ruleLine' }, h('span', {}, `${t('rule')}: ${t('ruleVersion', rule)} · SHA-256 `, h('span', { className: 'mono', title: rule.sha256, textContent: `${rule.sha256.slice(0, 12)}…` })), button);
}

// The names are those of the definition that made the score.
function scoreRow(score, made) {
  const rule = made?.scores.find((one) => one.id === score.id);
  const total = score.answered + score.missing;
  const value = h('td', { className: 'number' }, String(score.value ?? '–'));
  if (score.exact && score.exact !== String(score.value)) value.append(h('small', { textContent: t('exactly', score) }));
  const name = h('th', { scope: 'row' }, pick(rule?.title) || score.id);
  if (score.value === null) name.append(h('small', { textContent: t(score.answered ? 'noScore' : 'noAnswers', { missing: score.missing, total }), title: score.reason ?? '' }));
  const answered = h('td', {}, t('answeredOf', { answered: score.answered, total }));
  if (score.imputed?.length) answered.append(h('small', { textContent: t('imputed', { items: score.imputed.join(', ') }) }));
  return h('tr', {}, name, value, h('td', { textContent: pick(rule?.bands.find((one) => one.code === score.band)?.text) || score.band || '' }), answered);
}

function mismatches() {
  if (!shown.mismatches.length) return null;
  return block(t('mismatchesHeading'), h('ul', {}, ...shown.mismatches.map(({ score, claimed, computed }) => h('li', { className: 'flag', textContent: t('mismatch', {
    score: pick(definition?.scores.find((one) => one.id === score)?.title) || score, claimed: claimed ?? t('none'), computed: computed ?? t('none'),
  }) }))));
}

function warnings() {
  if (!shown.warnings.length) return null;
  return block(t('warningsHeading'), h('ul', {}, ...shown.warnings.map(({ code, detail }) => h('li', { textContent: t(`warning-${code}`) ?? detail, title: detail }))));
}

function answers() {
  const known = new Set(definition?.items.map((item) => item.id));
  const items = [...(definition?.items ?? []), ...Object.keys(shown.answers).filter((id) => !known.has(id)).map((id) => ({ id, options: [] }))];
  const whole = block(t('answersHeading'), table(t('answersHeading'), [t('question'), t('answer'), t('value')], items.map((item) => {
    const value = shown.answers[item.id];
    const text = answerText(item, value, shown.language);
    const lang = definition?.languages.length ? shown.language : '';
    return h('tr', {}, h('th', { scope: 'row' }, h('span', { className: 'itemId', textContent: item.id }), h('span', { textContent: pick(item.text, shown.language), lang })),
      h('td', { textContent: text || t('noAnswer'), lang: text && value !== 'not-asked' ? lang : '', className: text ? '' : 'plain' }),
      h('td', { className: 'number', textContent: typeof value === 'number' ? String(value) : '–' }));
  })));
  whole.classList.add('answers');
  return whole;
}

function times() {
  const { times: all, amends, revision, original, receipt, id } = shown;
  const rows = [
    [t('timeStarted'), all.started], [t('timeAuthored'), all.authored], [t('timeDevice'), all.device], [t('timeReceived'), all.received], [t('timeStored'), all.stored],
  ].filter(([, value]) => value).map(([name, value]) => [name, `${time(value)} (${value})`]);
  rows.push([t('readIn'), languageName(shown.language)], [t('study'), shown.study], [t('site'), shown.site],
    [t('revision'), amends ? t('revisionOf', { revision, amended: amends.revision, reason: amends.reason }) : String(revision)],
    [t('responseId'), id], ['SHA-256', receipt.sha256], [t('receiptSequence'), String(receipt.sequence)]);
  const links = [h('a', { href: original.url.replace(/^\//, ''), textContent: t('original') }),
    ...Array.from({ length: revision - 1 }, (_, i) => h('a', { href: `#/${id}/${i + 1}`, textContent: t('earlierRevision', { n: i + 1 }) }))];
  return block(t('timesHeading'),
    h('dl', { className: 'times' }, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', { textContent: name }), h('dd', { textContent: value })])),
    h('p', { className: 'links' }, ...links));
}

onLanguage(render);
