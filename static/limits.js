// What the server refuses, so that the page can tell before it sends. Until the
// server has answered nothing is checked here; the server checks everything anyway.

const listeners = [];

/** The limits of the server, Infinity as long as they are not known. */
export const limits = { maxBodyBytes: Infinity, maxImages: Infinity, maxPixels: Infinity, maxNotesCharacters: Infinity };

/** Calls back each time the limits have been read. */
export function onLimits(listener) {
  listeners.push(listener);
}

/** Reads the limits. Never rejects. */
export async function loadLimits() {
  try {
    const response = await fetch('limits', { headers: { Accept: 'application/json' } });
    if (!response.ok) return;
    const answer = await response.json();
    for (const name of Object.keys(limits)) if (answer[name] > 0) limits[name] = answer[name];
  } catch {
    // Without an answer nothing is checked here; asked again when the connection is back or a new report begins.
    addEventListener('online', () => loadLimits(), { once: true });
    return;
  }
  for (const listener of listeners) listener();
}
