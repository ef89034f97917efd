// The shared worker that follows the events for all tabs of a browser. Over HTTP/1.1 a browser has
// six connections to a server for all its tabs: if each tab held one, the seventh would never show
// anything. It is not slowed down as tabs in the background are.

import { openStream } from './eventstream.js';

const channel = new BroadcastChannel(self.location.href);
let live = false;
openStream(new URLSearchParams(self.location.search).get('types'), (message) => {
  live = message.live ?? live;
  channel.postMessage(message);
});

// A tab that comes later must know how it stands. All tabs hear it: there is no list of tabs, which
// would grow, for nobody tells when one is gone.
self.onconnect = () => channel.postMessage({ live });
