// The photos of the form: chosen, dropped, pasted or taken, shown small, put in
// order. The files stay on the device until the report is sent.

import { $, h, icon, fill, announce } from './dom.js';
import { t, size, number, list, onLanguage } from './i18n.js';
import { sha256 } from './digest.js';
import { limits } from './limits.js';

/** Photos in the order of the report: {file, picture, digest, wrong}; wrong is one that the server has refused. */
export const photos = [];

// Not every system knows the types of HEIC and AVIF: for these the end of the name counts too.
const types = $('images').accept.split(',');
const known = (file) => types.includes(file.type) || /\.(hei[cf]|avif)$/i.test(file.name);
const changed = [];
// Chosen files that are not among the photos, {file, why, read}: why is the key of what is said of them, and read is that the
// note was hidden. One stays here until it is added after all or the form is empty: the receipt names it too.
let leftOut = [];
let duplicates = [];  // names of files that were chosen twice, told until the photos change
let dragged = null;
let work = Promise.resolve();

/** Calls back after each change of the photos. */
export function onPhotos(listener) {
  changed.push(listener);
}

/** Adds files that are photos and not there yet, and says which were left out. */
export function add(files) {
  let n = 0;
  duplicates = [];
  for (const file of files) {
    leftOut = leftOut.filter((one) => !same(one.file, file));
    const why = whyNot(file);
    if (why) leftOut.push({ file, why, read: false });
    else if (photos.some((p) => same(p.file, file))) duplicates.push(file.name);
    else {
      const photo = { file, picture: h('span', { className: 'picture' }), digest: null };
      photos.push(photo);
      work = work.then(() => prepare(photo));
      n++;
    }
  }
  update();
  announce([n && t('added', { n }), noteText()].filter(Boolean).join('\n'));
}

// Why a file cannot be one of the photos: the key of what is said of it, or null.
function whyNot(file) {
  if (!known(file)) return 'skippedType';
  if (!file.size) return 'skippedEmpty';
  if (photos.some((p) => same(p.file, file))) return null;
  return photos.length >= limits.maxImages ? 'skippedOver' : null;
}

/** The names of the files that were chosen and are not among the photos. */
export function leftOutNames() {
  return leftOut.map(({ file }) => file.name);
}

/** Marks the photo with this 1-based position as one that the server has refused. */
export function markWrong(n) {
  photos[n - 1].wrong = true;
  $('tiles').children[n - 1].classList.add('wrong');
}

/** Removes all photos. */
export function clear() {
  photos.length = 0;
  leftOut = [];
  duplicates = [];
  update();
}

/** The digest of each photo, null where it cannot be read any more. */
export async function digests(list) {
  const all = [];
  for (const photo of list) all.push(await digestOf(photo));
  return all;
}

function digestOf(photo) {
  photo.digest ??= sha256(photo.file).catch(() => null);
  return photo.digest;
}

/** The 1-based position of the first photo that cannot be read any more, or 0. */
export async function firstUnreadable() {
  for (const [i, { file }] of photos.entries()) {
    try {
      await file.slice(0, 1).arrayBuffer();
    } catch {
      return i + 1;
    }
  }
  return 0;
}

/** A small picture of a photo for a list other than the form's, or null. */
export function pictureOf(photo) {
  const drawn = photo.picture.querySelector('canvas');
  if (!drawn) return null;
  const canvas = h('canvas', { width: drawn.width, height: drawn.height });
  canvas.getContext('2d').drawImage(drawn, 0, 0);
  return canvas;
}

const same = (a, b) => a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;

// One photo at a time, decoded straight to its small size: fifty photos of a
// phone would not fit into its memory side by side.
async function prepare(photo) {
  if (!photos.includes(photo)) return;
  try {
    const bitmap = await createImageBitmap(photo.file, { resizeWidth: 400, resizeQuality: 'medium' });
    const canvas = h('canvas', { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
    photo.picture.replaceChildren(canvas);
  } catch {
    photo.picture.replaceChildren(h('span', { className: 'blank', textContent: t('noPreview') }));
  }
  await digestOf(photo);
}

function update() {
  render();
  for (const listener of changed) listener();
}

function render() {
  $('tiles').replaceChildren(...photos.map(tile));
  $('photosCell').classList.toggle('filled', photos.length > 0);
  $('chooseButton').querySelector('span').textContent = t(photos.length ? 'more' : 'choose');
  fill($('leftOutText'), noteText());
  $('leftOut').hidden = $('leftOutText').hidden;
}

// What could not be added, in the current language. It has an element of its own: what is wrong with the photos of the
// list comes and goes with each try to send.
function noteText() {
  const sentences = ['skippedType', 'skippedEmpty', 'skippedOver'].map((why) => {
    const names = leftOut.filter((one) => one.why === why && !one.read).map(({ file }) => file.name);
    return names.length && t(why, { max: number(limits.maxImages), names: list(names) });
  });
  return [...sentences, duplicates.length && t('skippedTwice', { names: list(duplicates) })].filter(Boolean).join('\n');
}

function hideNote() {
  for (const one of leftOut) one.read = true;
  duplicates = [];
  render();
  $('images').focus();
}

function tile(photo, i) {
  const n = i + 1;
  const frame = h('div', { className: 'frame', title: photo.file.name }, photo.picture);
  frame.setAttribute('role', 'img');
  frame.setAttribute('aria-label', t('photoName', { n, name: photo.file.name }));
  const node = h('li', { className: photo.wrong ? 'tile wrong' : 'tile', draggable: true }, frame,
    h('p', { className: 'caption' }, h('b', { textContent: String(n) }), ` ${size(photo.file.size)}`),
    h('div', { className: 'tools' },
      tool('left', t('earlier', { n }), i === 0, () => move(i, i - 1, 'left')),
      tool('right', t('later', { n }), n === photos.length, () => move(i, i + 1, 'right')),
      tool('close', t('remove', { n }), false, () => remove(i))));
  node.addEventListener('dragstart', (e) => startDrag(e, photo, node));
  node.addEventListener('dragend', () => { dragged = null; render(); });
  node.addEventListener('dragover', (e) => overTile(e, photo));
  return node;
}

function tool(name, label, disabled, action) {
  const button = h('button', { type: 'button', className: `tool ${name}`, title: label, disabled }, icon(name));
  button.setAttribute('aria-label', label);
  button.addEventListener('click', action);
  return button;
}

// The focus follows the photo, so that a key can be pressed again and again.
function move(from, to, name) {
  photos.splice(to, 0, ...photos.splice(from, 1));
  update();
  const tools = $('tiles').children[to];
  (tools.querySelector(`.${name}:enabled`) ?? tools.querySelector('.tool:enabled')).focus();
  announce(t('moved', { n: to + 1, total: photos.length }));
}

function remove(i) {
  photos.splice(i, 1);
  duplicates = [];
  update();
  const next = $('tiles').children[Math.min(i, photos.length - 1)];
  (next?.querySelector('.close') ?? $('images')).focus();
  announce(t('removed', { n: i + 1 }));
}

function startDrag(e, photo, node) {
  dragged = photo;
  e.dataTransfer.effectAllowed = 'move';
  e.dataTransfer.setData('text/plain', '');
  node.classList.add('dragged');
}

function overTile(e, over) {
  if (!dragged) return;
  e.preventDefault();
  if (over === dragged) return;
  const from = photos.indexOf(dragged), to = photos.indexOf(over);
  photos.splice(to, 0, ...photos.splice(from, 1));
  // Nodes are moved, not made anew: a drag ends when its node goes away.
  const nodes = [...$('tiles').children];
  $('tiles').insertBefore(nodes[from], from < to ? nodes[to].nextSibling : nodes[to]);
}

function pick(e) {
  add(e.target.files);
  e.target.value = '';
}

const open = () => !$('form').hidden && !$('fields').disabled;
const bringsFiles = (e) => e.dataTransfer?.types.includes('Files');

$('images').addEventListener('change', pick);
$('camera').addEventListener('change', pick);
$('hideLeftOut').addEventListener('click', hideNote);
// A file dropped beside the form must not replace the page with itself.
addEventListener('dragover', (e) => {
  if (!bringsFiles(e)) return;
  e.preventDefault();
  $('photosCell').classList.toggle('over', open());
});
addEventListener('dragleave', (e) => { if (!e.relatedTarget) $('photosCell').classList.remove('over'); });
addEventListener('drop', (e) => {
  $('photosCell').classList.remove('over');
  if (!bringsFiles(e)) return;
  e.preventDefault();
  if (open()) add(e.dataTransfer.files);
});
addEventListener('paste', (e) => { if (open() && e.clipboardData.files.length) add(e.clipboardData.files); });
onLanguage(render);
