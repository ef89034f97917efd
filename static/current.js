// Keeps what a page shows as the server has it. Events say when to read again; what is shown is
// always what was read. So an event that comes twice does no harm, one that was missed is made up
// for by the next reading, and a page that is open for days keeps nothing of them.

import { onEvents } from './events.js';

const gap = 400;               // the least time between two readings
const longestGap = 20_000;
const answerWithin = 10_000;
const unfinishedEach = 1000;   // how often to ask while the server has not taken in everything yet
const askEach = 4000;          // while no events come
const checkEach = 20_000;      // while events come: a page that stands still without a word would be dangerous

// Whether there was no answer to show: it was broken off, nothing came, or the server could not. That nothing came is a
// TypeError in all browsers, and only its words tell it from a fault of the page.
function isNoAnswer({ name, message }) {
  if (name === 'AbortError' || name === 'TimeoutError' || /^status \d+$/.test(message)) return true;
  return name === 'TypeError' && /^(failed to fetch|network error|networkerror|load failed|error in input stream|the network connection was lost)/i.test(message);
}

/**
 * Calls read(signal), which reads and shows what was read, at once, after each event of the types
 * that concerns the page, whenever the stream of events begins or ends, and every now and then.
 * read resolves to true if the server is still to take in what it knows, and rejects if it does not
 * answer. The reason of signal is a TimeoutError if the server took too long, and else the reading is not wanted any more. After each reading onConnection is called with
 *   live     events come, and what is shown is what there is
 *   asking   no events come, but the server answers
 *   lost     it does not answer, and what is shown may be old
 * A page that need not be read inBackground stands still while nobody can see it.
 * Returns a function that reads at once, for another question; a reading under way is broken off.
 */
export function keepCurrent({ types, concerns = () => true, read, onConnection = () => {}, inBackground = true }) {
  let live = false;
  let due = false;             // something has changed since the reading under way has begun
  let reading = null;          // the AbortController of the reading under way
  let restedAt = 0;            // when the next reading may begin, by a clock that nobody sets
  let timer = null;

  const asleep = () => !inBackground && document.visibilityState === 'hidden';

  async function run() {
    clearTimeout(timer);
    reading?.abort();
    const mine = reading = new AbortController();
    const limit = setTimeout(() => mine.abort(new DOMException('no answer in time', 'TimeoutError')), answerWithin);
    const begun = performance.now();
    let unfinished = false, answered = true;
    due = false;
    try {
      unfinished = await read(mine.signal);
    } catch (e) {
      answered = false;
      if (!isNoAnswer(e)) console.error(e);   // the page itself is wrong, and says only that it is not connected
    }
    clearTimeout(limit);
    if (mine !== reading) return;
    reading = null;
    onConnection(!answered ? 'lost' : live ? 'live' : 'asking');
    const took = answered ? performance.now() - begun : 0;
    const rest = Math.min(Math.max(gap, 3 * took), longestGap);   // what costs the server much is read less often
    restedAt = performance.now() + rest;
    wait(due ? rest : Math.max(rest, unfinished ? unfinishedEach : live && answered ? checkEach : askEach));
  }

  function wait(ms) {
    clearTimeout(timer);
    timer = setTimeout(() => { if (!asleep()) run(); }, ms);
  }

  function changed() {
    const rest = restedAt - performance.now();
    if (reading) due = true;
    else if (rest > 0) wait(rest);
    else if (!asleep()) run();  // without a timer, which is slow in the background
  }

  onEvents(types, (message) => {
    if ('live' in message) live = message.live;
    else if (!concerns(message.event)) return;
    changed();
  });
  document.addEventListener('visibilitychange', () => { if (!asleep()) changed(); });
  run();
  return run;
}
