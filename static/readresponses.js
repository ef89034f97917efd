// Reads answers from the server, a page of them at a time, the newest first.

import { language } from './i18n.js';

/**
 * Reads a page as {items, next, upToDate}. Empty filters are left out, for the server refuses them.
 * Rejects if it did not answer, and with {problem} if it refused the filters.
 */
export async function readResponses(filters, signal) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  const response = await fetch(`questionnaire-responses?${query}`, { signal, cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(`status ${response.status}`), { problem: response.status === 400 ? answer : null });
  return answer;
}
