// Asks the server how a stored submission stands, and keeps asking until it is final.

import { language } from './i18n.js';
import { retryAfter } from './send.js';

const leastPause = 700;     // between two answers, should the server not hold the request
const longestPause = 30_000;
const held = 20_000;         // how long the server is asked to hold a request
const longestTold = 300_000; // beyond it a page asks whatever the server said

/**
 * Follows the submission with this address, by default that of the report with this id. onChange
 * is called with {report} after each change, {lost: true} while the server does not answer, and
 * {unknown: true} if it does not have it. Returns a function that stops it.
 */
export function follow(id, onChange, address = path(id)) {
  const control = new AbortController();
  run(address, onChange, control.signal);
  return () => control.abort();
}

/** Asks once whether the server has a report: true, false, or null if it cannot be asked. */
export async function isStored(id) {
  try {
    const response = await fetch(path(id), { cache: 'no-store' });
    const body = response.ok ? await response.json() : null;
    if (body?.id === id) return true;
    return response.status === 404 ? false : null;
  } catch {
    return null;
  }
}

/** Lets a failed report run again. Rejects if the server did not agree. */
export async function retry(id) {
  const response = await fetch(`${path(id)}/retry`, { method: 'POST', headers: { 'Accept-Language': language } });
  // 409: it is not failed any more, somebody else was quicker.
  if (!response.ok && response.status !== 409) throw new Error(`retry answered ${response.status}`);
}

// Where the API keeps a report.
const path = (id) => `case-reports/${encodeURIComponent(id)}`;

async function run(address, onChange, signal) {
  let tag = null, pause = leastPause;
  while (!signal.aborted) {
    const begun = performance.now();
    let told = 0;
    try {
      const response = await ask(address, tag, signal);
      if (response.status === 404) return onChange({ unknown: true });
      // Where nothing is new, or nothing can be told, and the request was not held either, the server says when to come again.
      if (response.status !== 200 && performance.now() - begun < held / 2) told = Math.min(retryAfter(response.headers.get('Retry-After')) ?? 0, longestTold);
      if (response.status !== 304) {
        if (!response.ok) throw new Error(`status ${response.status}`);
        const report = await response.json();
        tag = response.headers.get('ETag');
        onChange({ report });
        if (report.status === 'completed' || report.status === 'failed') return undefined;
      } else onChange({});
      pause = leastPause;
    } catch {
      if (signal.aborted) return undefined;
      onChange({ lost: true });
      pause = Math.min(pause * 2, longestPause);
    }
    await sleep(Math.max(pause, told), signal);
  }
  return undefined;
}

// The first question is answered at once; later ones when something has changed.
function ask(address, tag, signal) {
  const headers = { Accept: 'application/json', 'Accept-Language': language };
  if (tag) headers['If-None-Match'] = tag;
  return fetch(address + (tag ? `${address.includes('?') ? '&' : '?'}wait=${held / 1000}s` : ''), { headers, signal, cache: 'no-store' });
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
