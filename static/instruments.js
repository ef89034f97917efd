// The questionnaires that the server has, and their wording. What was read once is kept on this
// device, so that it can be filled in without a connection.

import { get, put } from './keep.js';
import { t, language } from './i18n.js';

/**
 * The questionnaires of a study, as {items, kept}: kept says that the server could not be asked.
 * Rejects if it could not and nothing is kept, or with {problem} if it refused, as it does where the
 * study does not have the site.
 */
export async function readInstruments(study, site = '') {
  const { value, kept } = await read(`instruments${query({ study, site })}`, (answer) => Array.isArray(answer?.items), `instruments${query({ study })}`);
  return { items: value.items, kept };
}

/** One definition, with its wording in all languages. Rejects as readInstruments does. */
export async function readInstrument({ id, version }, study) {
  const address = `instruments/${encodeURIComponent(id)}${query({ version, study })}`;
  return (await read(address, (answer) => Array.isArray(answer?.items) && answer.id === id)).value;
}

/** The text in a language: in exactly this one, or in this one of another region, or in English, or in any. */
export function pick(text, tag = language) {
  const found = tagOf(Object.keys(text ?? {}), tag);
  return found ? text[found] : '';
}

/** Which of the tags fits a language best; undefined if there are none. */
export function tagOf(tags, tag = language) {
  const base = (one) => one.split('-')[0];
  return tags.find((one) => one === tag) ?? tags.find((one) => base(one) === base(tag)) ?? tags.find((one) => base(one) === 'en') ?? tags[0];
}

/** A title for a list that may cut it off: with the short name that it has at its end in brackets first. */
export function listName(title) {
  const [, long, short] = /^(.*\S)\s*[(（]([^()（）]+)[)）]$/.exec(title) ?? [];
  return short ? t('listName', { short, long }) : title;
}

/** The name of a language in the language of the page, or in the one given. */
export function languageName(tag, into = language) {
  try {
    return new Intl.DisplayNames(into, { type: 'language' }).of(tag);
  } catch {
    return tag;
  }
}

/** Whether two tags are of the same language, whatever the region. */
export const sameLanguage = (a, b) => a.split('-')[0] === b.split('-')[0];

async function read(address, isRight, keptAs = address) {
  let failure;
  try {
    const response = await fetch(address, { cache: 'no-cache', headers: { Accept: 'application/json', 'Accept-Language': language } });
    const value = await response.json();
    if (response.ok && isRight(value)) {
      await put('instruments', { address: keptAs, value });
      return { value, kept: false };
    }
    failure = Object.assign(new Error(`status ${response.status}`), { problem: value?.code ? value : null });
    if (response.status >= 400 && response.status < 500 && failure.problem) throw failure;
  } catch (e) {
    if (e === failure) throw e;
    failure ??= e;
  }
  const kept = await get('instruments', keptAs);
  if (!kept) throw failure;
  return { value: kept.value, kept: true };
}

function query(members) {
  const given = Object.entries(members).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : '';
}
