// The language of the page: the browser's at first, then the one chosen by the
// toggle. It is the only thing this page keeps beyond its tab.

import { texts } from './texts.js';
import { $ } from './dom.js';

const key = 'casepress.language';
const listeners = [];

/** The current language: en or zh-CN. */
export let language = kept() ?? (/^zh/i.test(navigator.language ?? '') ? 'zh-CN' : 'en');

/** The languages of the pages, the current one first. */
export const languages = () => [language, ...Object.keys(texts).filter((one) => one !== language)];

/** The text of a key, filled with values, in the current language or in the one given. An unknown key gives undefined. */
export function t(name, values, into = language) {
  const text = texts[into][name];
  return typeof text === 'function' ? text(values) : text;
}

/** Calls back now and after each change of the language. */
export function onLanguage(listener) {
  listeners.push(listener);
  listener();
}

/** Switches between the two languages. */
export function toggleLanguage() {
  language = language === 'en' ? 'zh-CN' : 'en';
  try {
    localStorage.setItem(key, language);
  } catch { /* private mode: it then lasts as long as the page */ }
  for (const listener of listeners) listener();
}

// Puts the texts of the current language into everything marked data-t.
function translate() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  const other = language === 'en' ? 'zh-CN' : 'en';
  $('language').textContent = other === 'en' ? 'English' : '中文';
  $('language').lang = other;
}

/** A size for people: 850 kB, 3.1 MB. */
export function size(bytes) {
  const mega = bytes >= 999_500;
  const [value, unit] = mega ? [bytes / 1e6, 'megabyte'] : [bytes / 1e3, 'kilobyte'];
  return new Intl.NumberFormat(region(), {
    style: 'unit', unit, unitDisplay: 'short', minimumFractionDigits: mega ? 1 : 0, maximumFractionDigits: mega ? 1 : 0,
  }).format(value);
}

/** A whole number with the language's digit groups. */
export function number(n) {
  return new Intl.NumberFormat(region()).format(n);
}

/** Names or numbers as a list: 1, 2, 3. */
export function list(items) {
  return items.join(t('listGap'));
}

/** A share between 0 and 1 as a percentage, rounded down: 100 % means all. */
export function percent(share) {
  return new Intl.NumberFormat(region(), { style: 'percent' }).format(Math.floor(share * 100) / 100);
}

/** A time with date, seconds and zone, or a dash when there is none. */
export function time(value, options = { dateStyle: 'medium', timeStyle: 'long' }) {
  const date = new Date(value ?? NaN);
  return Number.isNaN(date.getTime()) ? '–' : new Intl.DateTimeFormat(region(), options).format(date);
}

// The browser's own variant of the language, for numbers and dates: en-GB, zh-Hans-CN.
function region() {
  const two = language.slice(0, 2);
  return navigator.languages?.find((l) => l.toLowerCase().startsWith(two)) ?? language;
}

function kept() {
  try {
    const value = localStorage.getItem(key);
    return value in texts ? value : null;
  } catch {
    return null;
  }
}

// First of the listeners: the others may say something more fitting.
onLanguage(translate);
