// Answers on their way to the server. They are kept on this device before they are sent, and until
// the server has confirmed that it stored exactly the same bytes.

import { all, get, put, remove, lasting } from './keep.js';
import { sha256 } from './digest.js';
import { deliver } from './send.js';
import { withOffset } from './zone.js';

const senders = new Map();      // id -> what sends it
const listeners = [];

/** What is known of a response since this page is open, by its id: {phase, …} as deliver tells it, and at the end {receipt}. */
export const news = new Map();

/** Calls back with the id and the answer's crisis text, {text, language} or {general: true}, if there is one, after each change. */
export function onNews(listener) {
  listeners.push(listener);
}

/** Sends what waits on this device. Two pages that send the same do no harm: id and bytes are the same. */
export async function sendKept() {
  for (const record of await all('responses')) if (record.state === 'waiting') start(record);
}

/**
 * Hands in a response that was filled in: {id, study, answers, …}, and returns it as it is from here on, for it does
 * not change any more. If another page has handed it in before, that one counts.
 */
export async function handIn(record) {
  const kept = await get('responses', record.id);
  // Nothing there means that another page has handed it in, unless what is kept cannot be read.
  if (kept ? kept.state !== 'draft' : lasting) return kept ?? { ...record, state: 'gone' };
  const now = withOffset(new Date());
  const waiting = await written({ ...record, state: 'waiting', authored: now });
  await put('responses', waiting);
  start(waiting);
  return waiting;
}

// The record with the document that is sent.
async function written(record) {
  const { id, study, site, patientId, visitId, language, authored, started } = record;
  const { id: instrument, version } = record.definition;
  const given = { id, study, site, patientId, visitId, instrument, version, language, authored, started, deviceTime: authored, answers: record.answers };
  for (const name of Object.keys(given)) if (given[name] === '' || given[name] === undefined) delete given[name];
  const document = JSON.stringify(given);
  return { ...record, document, sha256: await sha256(new Blob([document])) };
}

/** Tries again at once. */
export function tryNow(id) {
  senders.get(id)?.now();
}

/**
 * Sends again what the server has refused: the study and the site of the record may be others, or the study may have
 * been put right since. Nothing is stored under the id, so that other bytes are no conflict.
 */
export async function sendAgain(record) {
  const waiting = await written({ ...record, state: 'waiting', problem: null });
  await put('responses', waiting);
  news.delete(record.id);
  tell(record.id);
  start(waiting);
}

/** Forgets a response on this device. */
export async function forget(id) {
  senders.get(id)?.stop();
  senders.delete(id);
  news.delete(id);
  await remove('responses', id);
  tell(id);
}

function start(record) {
  if (senders.has(record.id)) return;
  const upload = {
    id: record.id,
    method: 'PUT',
    address: `questionnaire-responses/${encodeURIComponent(record.id)}`,
    mediaType: 'application/json',
    status: 201,
    body: () => new TextEncoder().encode(record.document),
  };
  senders.set(record.id, null);
  senders.set(record.id, deliver(upload, (latest) => onProgress(record, latest)));
}

async function onProgress(record, latest) {
  const { id } = record;
  news.set(id, latest);
  if (latest.phase === 'refused') {
    senders.delete(id);
    await put('responses', { ...record, state: 'refused', problem: { status: latest.status, detail: detailOf(latest.problem) } });
  }
  if (latest.phase === 'stored') {
    senders.delete(id);
    await stored(record, latest.answer);
    return;
  }
  tell(id);
}

const detailOf = (problem) => (problem?.errors?.length ? problem.errors.map((e) => e.detail).join(' ') : problem?.detail ?? '');

// The crisis text is shown before anything else is done, and kept in the place of the answers until
// somebody has read it: the page may be closed in between.
async function stored(record, answer) {
  const { id } = record;
  const same = answer.receipt.sha256 === record.sha256;
  const studyUnknown = (answer.warnings ?? []).some(({ code }) => code === 'unknown-study');
  news.set(id, { phase: 'stored', same, receipt: answer.receipt, studyUnknown });
  const crisis = crisisOf(answer);
  tell(id, crisis);
  if (!same) await put('responses', { ...record, state: 'differs', crisis });
  else if (crisis) await put('responses', { id, state: 'stored', crisis });
  else await remove('responses', id);
  tell(id);
}

// The study's crisis text. Where it has none, an urgent flag is never passed over: the page has words of its own.
function crisisOf({ crisisText, crisisTextLanguage, flags = [] }) {
  if (crisisText) return { text: crisisText, language: crisisTextLanguage };
  return flags.some(({ state, urgent }) => urgent && state === 'raised') ? { general: true } : null;
}

function tell(id, crisis = null) {
  for (const listener of listeners) listener(id, crisis);
}
