// The events of the server for a page, by one stream for all tabs.

import { openStream } from './eventstream.js';

const listeners = new Map();   // of this page, by the types that they want

/** Follows the events of these types, as openStream tells them, as long as the page is there. */
export function onEvents(types, listener) {
  if (listeners.has(types)) {
    listeners.get(types).push(listener);
    return;
  }
  const all = [listener];
  listeners.set(types, all);
  follow(types, (message) => { for (const one of all) one(message); });
}

function follow(types, tell) {
  if (typeof SharedWorker === 'undefined') {
    followWhileVisible(types, tell);
    return;
  }
  const address = new URL(`events-worker.js?types=${types}`, import.meta.url);
  const channel = new BroadcastChannel(address.href);
  channel.onmessage = ({ data }) => tell(data);
  new SharedWorker(address, { type: 'module' }).onerror = () => {
    channel.close();
    followWhileVisible(types, tell);
  };
}

// Without shared workers, as on some phones, a tab has a stream of its own, and only while somebody
// can see it: so there are never many.
function followWhileVisible(types, tell) {
  let close = null;
  const visible = () => {
    if (document.visibilityState === 'visible') {
      close ??= openStream(types, tell);
    } else if (close) {
      close();
      close = null;
      tell({ live: false });
    }
  };
  document.addEventListener('visibilitychange', visible);
  visible();
}
