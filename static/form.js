// The fields of the form: what they default to, what is wrong with them, and
// what is sent.

import { $, fill } from './dom.js';
import { t, number, size, onLanguage } from './i18n.js';
import { photos, clear, markWrong, onPhotos } from './photos.js';
import { limits, onLimits } from './limits.js';
import { offset } from './zone.js';

const fieldNames = ['patientId', 'visitId', 'capturedAt', 'images', 'notes', 'study', 'site'];
const remembered = ['study', 'site'];  // from one report to the next: they are no patient's
let errors = {};            // field -> function that gives the text in the current language

/** Empties the form. */
export function empty() {
  $('form').reset();
  setErrors({});
  clear();
  recall();
  zone();
  count();
}

/** The fields as they are sent; empty ones are left out by the sender. */
export function values() {
  return {
    patientId: $('patientId').value.trim(),
    visitId: $('visitId').value.trim(),
    capturedAt: withZone($('capturedAt').value),
    notes: $('notes').value,
    study: $('study').value.trim(),
    site: $('site').value.trim(),
  };
}

/** Checks what can be checked here; marks what is wrong and goes to the first. */
export function check() {
  const found = {};
  const { patientId, visitId, notes, study, site } = values();
  const id = /^[A-Za-z0-9._-]{1,64}$/;
  const inAddress = (text) => id.test(text) && text !== '.' && text !== '..';
  if (!patientId) found.patientId = () => t('needPatient');
  else if (!id.test(patientId)) found.patientId = () => t('badId');
  if (visitId && !id.test(visitId)) found.visitId = () => t('badId');
  if (study && !inAddress(study)) found.study = () => t('badId');
  if (site && !inAddress(site)) found.site = () => t('badId');
  if ($('capturedAt').validity.badInput) found.capturedAt = () => t('badTime');
  const photosWrong = checkPhotos();
  if (photosWrong) found.images = photosWrong;
  const over = length(notes) - limits.maxNotesCharacters;
  if (over > 0) found.notes = () => t('longNotes', { over: number(over) });
  setErrors(found);
  return goToFirst();
}

// What is wrong with the photos, as a function that says it, or null.
function checkPhotos() {
  const { maxImages, maxBodyBytes } = limits;
  if (!photos.length) return () => t('needPhotos');
  if (photos.length > maxImages) return () => t('tooManyPhotos', { max: number(maxImages), n: photos.length - maxImages });
  // The form around the photos takes some bytes too.
  const bytes = photos.reduce((sum, p) => sum + p.file.size + 1000, 20_000);
  if (bytes > maxBodyBytes) return () => t('tooManyBytes', { size: size(bytes), max: size(maxBodyBytes) });
  return null;
}

/** Fills in what an address such as #study=S1&site=101&visit=V02 names; nothing about the patient is read from one. */
export function fillFrom(hash) {
  const given = new URLSearchParams(hash.slice(1));
  for (const [name, field] of [['study', 'study'], ['site', 'site'], ['visit', 'visitId']]) {
    if (!given.get(name)) continue;
    $(field).value = given.get(name);
    clearError(field);
    if (!remembered.includes(field)) continue;
    keep(field);
    $('more').open = true;
  }
}

/** Puts the server's errors at their fields and goes to the first. True if each had one. code is that of the whole problem. */
export function refuse(list, code) {
  const found = {};
  let placed = true;
  for (const { field, detail } of list) {
    const name = fieldNames.find((n) => String(field ?? '').replace(/^[/#]+/, '').startsWith(n));
    if (!name) {
      placed = false;
      continue;
    }
    const before = found[name], text = name === 'images' ? photoText(field, detail, code) : () => detail;
    found[name] = () => (before ? `${before()} ${text()}` : text());
  }
  setErrors(found);
  goToFirst();
  return placed;
}

// The server names a photo by its place, images[2], the first being 1: it is marked, and called by the name it has on the page.
function photoText(field, detail, code) {
  const n = Number(/\[(\d+)\]/.exec(field)?.[1]), photo = photos[n - 1];
  if (!photo) return () => detail;
  markWrong(n);
  const { name } = photo.file;
  const own = { 'not-an-image': 'notAnImage', 'image-too-large': 'tooManyPixels' }[code];
  return () => (own ? t(own, { n, name }) : `${t('photoName', { n, name })}${t('photoGap')}${detail}`);
}

/** Marks one field as wrong. */
export function refuseField(name, text) {
  setErrors({ [name]: text });
  goToFirst();
}

function setErrors(found) {
  errors = found;
  renderErrors();
}

function renderErrors() {
  for (const name of fieldNames) {
    const text = errors[name]?.() ?? '';
    const field = $(name);
    if (text) field.setAttribute('aria-invalid', 'true');
    else field.removeAttribute('aria-invalid');
    field.closest('.cell').classList.toggle('wrong', Boolean(text));
    fill($(`${name}-error`), text);
  }
}

// True if nothing was wrong.
function goToFirst() {
  const first = fieldNames.find((name) => errors[name]);
  if (remembered.includes(first)) $('more').open = true;
  if (first) $(first).focus();
  return !first;
}

function clearError(name) {
  if (!errors[name]) return;
  delete errors[name];
  renderErrors();
}

/** Characters as the server counts them: code points. */
function length(text) {
  return [...text].length;
}

function count() {
  const used = length($('notes').value);
  const known = Number.isFinite(limits.maxNotesCharacters);
  $('count').textContent = known ? t('count', { used: number(used), limit: number(limits.maxNotesCharacters) }) : '';
  $('count').classList.toggle('over', used > limits.maxNotesCharacters);
}

function recall() {
  for (const name of remembered) $(name).value = read(name);
  $('more').open = remembered.some((name) => $(name).value);
}

function read(name) {
  try {
    return localStorage.getItem(`casepress.${name}`) ?? '';
  } catch {
    return ''; // a browser that keeps nothing
  }
}

function keep(name) {
  try {
    localStorage.setItem(`casepress.${name}`, $(name).value.trim());
  } catch { /* as above: the field is empty next time */ }
}

// RFC 3339 with the offset this device has at that date, summer time included.
function withZone(local) {
  if (!local) return '';
  return (local.length === 16 ? `${local}:00` : local) + offset(new Date(local));
}

// Nothing is filled in for the time: photos have their own, which may be days before they are sent.
function zone() {
  const local = $('capturedAt').value;
  $('zone').textContent = local ? `UTC${offset(new Date(local))}` : t('fromPhotos');
}

for (const name of fieldNames) $(name).addEventListener('input', () => clearError(name));
for (const name of remembered) $(name).addEventListener('input', () => keep(name));
$('notes').addEventListener('input', count);
$('capturedAt').addEventListener('input', zone);
onPhotos(() => {
  if (photos.length) clearError('images');
});
onLimits(count);
recall();
onLanguage(() => { count(); zone(); renderErrors(); });
