// The ids this tab has sent, and the one whose answer is still owed. Ids only,
// and only for as long as the tab lives.

import { $, h } from './dom.js';
import { time, onLanguage } from './i18n.js';
import { timeOf } from './digest.js';
import { shorten } from './statuspanel.js';

const sentKey = 'casepress.sent';
const pendingKey = 'casepress.pending';
const most = 20;
let open = '';

/** Puts an id at the head of the list. */
export function remember(id) {
  const ids = [id, ...read().filter((other) => other !== id)].slice(0, most);
  write(sentKey, JSON.stringify(ids));
}

/** Shows the list, marking the report that is open. */
export function renderRecent(id = '') {
  open = id;
  render();
}

/** The id of a report that was sent without an answer so far, or null. */
export function pending() {
  try {
    return sessionStorage.getItem(pendingKey);
  } catch {
    return null;
  }
}

/** Keeps the id of a report before it is sent; null once its fate is known. */
export function setPending(id) {
  write(pendingKey, id);
}

function render() {
  const ids = read();
  $('recent').hidden = !ids.length;
  $('recentList').replaceChildren(...ids.map((id) => {
    const link = h('a', { href: `#/${id}`, title: id },
      h('span', { textContent: time(timeOf(id), { timeStyle: 'short' }) }), ' ',
      h('span', { className: 'mono', textContent: shorten(id) }));
    if (id === open) link.setAttribute('aria-current', 'page');
    return h('li', {}, link);
  }));
}

function read() {
  try {
    const ids = JSON.parse(sessionStorage.getItem(sentKey));
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
  } catch {
    return [];
  }
}

function write(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch { /* storage is off: the list is then empty */ }
}

onLanguage(render);
