// The adverse events of responses. One stays open until a person has judged it, whatever a later
// revision of the response says.

import { language } from './i18n.js';

/** One adverse event as the server tells it, or null if it could not be read. Never rejects. */
export async function readAdverseEvent(id) {
  try {
    const response = await fetch(addressOf(id), { cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language } });
    const event = response.ok ? await response.json() : null;
    return event?.id === id ? event : null;
  } catch {
    return null;
  }
}

/** Where the server tells of it. */
export const addressOf = (id) => `adverse-events/${encodeURIComponent(id)}`;

/** Whether somebody must still look at it. One that could not be read counts, for nobody knows. */
export const isOpen = (event) => !event || event.state === 'open' || event.state === 'notified';
