// A stream of events from the server. Whatever ends it, it is opened again.

const longestSilence = 45_000;  // the server sends a heartbeat each 15 s: after this the connection is dead
const leastPause = 2000;        // before a new stream, where the browser has given up the old one
const longestPause = 60_000;

/**
 * Follows the events of these types from now on. tell is called with {live: true} whenever the
 * stream is open: from then on nothing is missed, and what was before must be read; with
 * {live: false} whenever it is not; and with {event}. An event may come twice. Returns a function
 * that ends it.
 *
 * A browser opens a stream again by itself, with the position as Last-Event-ID, unless the server
 * has refused it: because there are too many, because events were lost, or because what answers has
 * no events. Then another one is opened here, later each time.
 */
export function openStream(types, tell) {
  let source, timer, pause = leastPause;

  function open() {
    source = new EventSource(`events?types=${types}&after=latest`);
    source.onopen = () => {
      pause = leastPause;
      heard();
      tell({ live: true });
    };
    source.onmessage = ({ data }) => {
      heard();
      tell({ event: JSON.parse(data) });
    };
    source.addEventListener('heartbeat', heard);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) again();
      else heard();             // the browser tries, and may wait for an answer as long
      tell({ live: false });
    };
    heard();
  }

  function heard() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      again();
      tell({ live: false });
    }, longestSilence);
  }

  function again() {
    clearTimeout(timer);
    source.close();
    timer = setTimeout(open, pause * (0.5 + Math.random()));  // pages that lost the server together do not come together
    pause = Math.min(pause * 2, longestPause);
  }

  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
