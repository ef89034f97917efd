// The flag that an adverse event follows from, in the words of its instrument's definition: what the flag
// means, what was asked and what was answered.

import { t, language } from './i18n.js';
import { readInstrument, pick } from './instruments.js';
import { answerText } from './question.js';

const definitions = new Map();     // of a version of an instrument in a study; null while it is read

const keyOf = ({ study, instrument, version }) => JSON.stringify([study, instrument, version]);

/**
 * Reads the definitions that the flags of these cases need and that are not known yet. Resolves to true if one has
 * come, so that there are words to show. What could not be read is tried again by the next call. Never rejects.
 */
export async function readFlagTexts(cases) {
  const wanted = new Map(cases.filter((one) => one.flag && !definitions.has(keyOf(one))).map((one) => [keyOf(one), one]));
  const read = await Promise.all([...wanted].map(async ([key, { study, instrument, version }]) => {
    definitions.set(key, null);
    const definition = await readInstrument({ id: instrument, version }, study ?? '').catch(() => null);
    if (definition) definitions.set(key, definition);
    else definitions.delete(key);
    return Boolean(definition);
  }));
  return read.some(Boolean);
}

/** What the flag means; without its definition, its code. */
export function flagText(one) {
  const text = pick(definitions.get(keyOf(one))?.flags.find(({ code }) => code === one.flag.code)?.text);
  return text ? t('deskFlag', { flag: text }) : t('deskFlagCode', { flag: one.flag.code, instrument: one.instrument });
}

/** The title of the instrument, or its id. */
export const instrumentTitle = (one) => pick(definitions.get(keyOf(one))?.title) || one.instrument;

/** The answer or the score that raised it, as {asked, value}, in words where the definition has them; null if it is not known. */
export function flagCause(one) {
  const definition = definitions.get(keyOf(one)), { item, score, value } = one.flag;
  if (value === null || value === undefined || value === '') return null;
  const asked = item ? definition?.items.find(({ id }) => id === item) : definition?.scores.find(({ id }) => id === score);
  if (!asked) return null;
  const words = item ? answerText(asked, Number(value), language) : '';
  return { asked: pick(asked.text ?? asked.title) || asked.id, value: words && words !== String(value) ? t('deskAnswerValue', { answer: words, value }) : String(value) };
}
