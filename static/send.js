// Sends one submission until the server has confirmed that it is stored, or has
// refused it. It never takes anything for stored but the expected status with the
// submission's own id and a receipt: Wi-Fi sign-in pages answer 200 to everything.

import { language } from './i18n.js';

const stallAfter = 90_000;  // without a byte sent or an answer: ms
const firstPause = 2_000;
const longestPause = 60_000;

/** Starts sending a report, {id, fields: {name: value}, files}, with the screen kept on. See deliver. */
export function send(report, onProgress) {
  const releaseScreen = keepScreenOn();
  const sender = deliver({ id: report.id, method: 'POST', address: 'upload-case-report', status: 202, body: () => body(report) }, (news) => {
    if (news.phase === 'stored' || news.phase === 'refused') releaseScreen();
    onProgress(news);
  });
  return { stop: () => { sender.stop(); releaseScreen(); }, now: sender.now };
}

/**
 * Starts sending. upload is {id, method, address, mediaType, status, body}: body makes what is
 * sent, and status is the one that confirms it. onProgress is called
 * with {phase: 'sending', loaded, total}, {phase: 'confirming'},
 * {phase: 'waiting', why, until, problem}, and at the end with {phase: 'stored',
 * answer} or {phase: 'refused', status, problem}. The id is the same on every
 * try, so that a lost answer never makes a second submission.
 */
export function deliver(upload, onProgress) {
  let tries = 0, request = null, timer = 0, ended = false, toldToWait = false;

  function attempt() {
    clearTimeout(timer);
    request = post(upload, onProgress, onOutcome);
  }

  function onOutcome(result) {
    request = null;
    if (ended) return;
    if (result.phase !== 'waiting') {
      stop();
      onProgress(result);
      return;
    }
    const pause = Math.max(backoff(tries++), result.retryAfter ?? 0);
    toldToWait = result.retryAfter !== null;
    timer = setTimeout(attempt, pause);
    onProgress({ ...result, until: Date.now() + pause });
  }

  function online() {
    if (!request && !toldToWait) attempt();
  }

  function stop() {
    ended = true;
    clearTimeout(timer);
    removeEventListener('online', online);
    request?.abort();
  }

  addEventListener('online', online);
  attempt();
  return { stop, now: () => { if (!request && !ended) attempt(); } };
}

// Keeps a phone's screen on, where that is possible: with it goes the upload.
function keepScreenOn() {
  const lock = Promise.resolve(navigator.wakeLock?.request('screen')).catch(() => null);
  return () => lock.then((l) => l?.release());
}

function backoff(tries) {
  const pause = Math.min(firstPause * 2 ** tries, longestPause);
  return pause * (0.75 + Math.random() / 2);
}

function post(upload, onProgress, onOutcome) {
  const xhr = new XMLHttpRequest();
  let stalled = 0;
  const alive = () => {
    clearTimeout(stalled);
    stalled = setTimeout(() => xhr.abort(), stallAfter);
  };
  xhr.open(upload.method, upload.address);
  if (upload.mediaType) xhr.setRequestHeader('Content-Type', upload.mediaType);
  xhr.setRequestHeader('Accept', 'application/json, application/problem+json');
  xhr.setRequestHeader('Accept-Language', language);
  xhr.upload.onprogress = (e) => {
    alive();
    onProgress(e.loaded < e.total ? { phase: 'sending', loaded: e.loaded, total: e.total } : { phase: 'confirming' });
  };
  xhr.upload.onload = () => onProgress({ phase: 'confirming' });
  xhr.onload = () => onOutcome(outcome(xhr, upload));
  xhr.onerror = xhr.onabort = () => onOutcome(unreached());
  xhr.onloadend = () => clearTimeout(stalled);
  alive();
  onProgress({ phase: 'sending', loaded: 0, total: 0 });
  xhr.send(upload.body());
  return xhr;
}

// The id goes first, so that the server knows it whatever else is wrong.
function body({ id, fields, files }) {
  const form = new FormData();
  form.append('reportId', id);
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  for (const file of files) form.append('images', file, file.name);
  return form;
}

function unreached() {
  return { phase: 'waiting', why: navigator.onLine ? 'network' : 'offline', problem: null, retryAfter: null };
}

function outcome(xhr, { id, status }) {
  const answer = parse(xhr);
  if (xhr.status === status && answer?.id === id && answer.receipt) return { phase: 'stored', answer };
  const problem = answer?.code || answer?.title ? answer : null;
  if (worthAnotherTry(xhr.status, problem)) {
    return { phase: 'waiting', why: reason(xhr.status, problem), problem, retryAfter: retryAfter(xhr.getResponseHeader('Retry-After')) };
  }
  return { phase: 'refused', status: xhr.status, problem };
}

function parse(xhr) {
  try {
    return JSON.parse(xhr.responseText);
  } catch {
    return null;
  }
}

function worthAnotherTry(status, problem) {
  if (typeof problem?.retryable === 'boolean') return problem.retryable;
  return status < 400 || status >= 500 || status === 408 || status === 425 || status === 429;
}

function reason(status, problem) {
  if (status < 400) return 'strange';
  if (status === 507) return 'full';
  if (problem) return ['backlog-too-old', 'overloaded', 'too-many-uploads', 'too-many-uploads-from-address', 'timeout'].includes(problem.code) ? 'busy' : 'server';
  return status === 503 || status === 429 ? 'busy' : 'server';
}

/** Milliseconds, from the seconds or the date of a header Retry-After; null when the server names none. */
export function retryAfter(value) {
  if (!value) return null;
  const ms = /^\d+$/.test(value) ? value * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(ms, 0);
}
