// Small helpers for building the page. Everything shown goes in as text, never
// as markup.

const svg = 'http://www.w3.org/2000/svg';

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element with properties and children. */
export function h(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** One of the icons drawn in index.html. */
export function icon(name) {
  const node = document.createElementNS(svg, 'svg');
  const use = document.createElementNS(svg, 'use');
  node.setAttribute('class', 'icon');
  node.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#i-${name}`);
  node.append(use);
  return node;
}

/** Shows text in a node and hides the node when there is none. */
export function fill(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text;
}

/** A table that scrolls sideways by itself where it is too wide. */
export function table(caption, heads, rows) {
  const box = h('div', { className: 'tableBox', tabIndex: 0 }, h('table', {},
    h('thead', {}, h('tr', {}, ...heads.map((text) => h('th', { scope: 'col', textContent: text })))),
    h('tbody', {}, ...rows)));
  box.setAttribute('role', 'region');
  box.setAttribute('aria-label', caption);
  return box;
}

/** Tells people who cannot see the page what has changed. */
export function announce(text) {
  const live = $('live');
  if (text && live.textContent !== text) live.textContent = text;
}

/** Tells them at once, whatever they are reading, and the same text a second time too. For what cannot wait. */
export function alarm(text) {
  $('alert').replaceChildren(h('p', { textContent: text }));
}

/**
 * Shows items as the entries of a list. An entry whose item is shown already, by its key, stays the
 * same, so that the focus stays on it; draw(entry, item) fills it when look(item), a text, has changed.
 */
export function showEntries(list, items, key, look, draw) {
  const entries = new Map([...list.children].map((entry) => [entry.dataset.key, entry]));
  const wanted = new Set(items.map(key));
  for (const [of, entry] of entries) if (!wanted.has(of)) entry.remove();   // first, so that no other needs to move
  items.forEach((item, i) => {
    const entry = entries.get(key(item)) ?? h('li');
    entry.dataset.key = key(item);
    if (list.children[i] !== entry) list.insertBefore(entry, list.children[i] ?? null);
    const now = look(item);
    if (entry.look === now) return;
    entry.look = now;
    draw(entry, item);
  });
}

/** Copies text, also where the clipboard interface is missing (plain http). */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { value: text, className: 'hidden', readOnly: true });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
