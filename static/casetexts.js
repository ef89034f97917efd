// What the desk says of an adverse event in words.

import { t, time } from './i18n.js';
import { serverNow } from './servertime.js';
import { flagText, flagCause } from './flagtexts.js';

/** Whether it was not acknowledged in time, or is not yet and the time is over. */
export function isLate(one, now = serverNow()) {
  return new Date(one.acknowledgement?.at ?? now) > new Date(one.clock.dueAt);
}

/** How long it has been known, and how long there is left; or when it was acknowledged. */
export function clockText(one, now = serverNow()) {
  const due = new Date(one.clock.dueAt), from = new Date(one.clock.from);
  if (one.acknowledgement) {
    const at = new Date(one.acknowledgement.at);
    return t(isLate(one) ? 'deskAckLate' : 'deskAckInTime', { name: one.acknowledgement.name, span: span(at - from), at: time(at, { dateStyle: 'medium', timeStyle: 'short' }) });
  }
  return t(now > due ? 'deskOverdue' : 'deskDueIn', { age: span(now - from), span: span(Math.abs(due - now)) });
}

/** What happened, in one line. */
export function whatText(one) {
  if (one.description) return one.description.split('\n').find((line) => line.trim()) ?? '';
  if (!one.flag) return '';
  const cause = flagCause(one);
  return cause ? t(one.flag.item ? 'deskCaused' : 'deskCausedByScore', { ...cause, flag: flagText(one) }) : flagText(one);
}

/** What makes it serious, as it was reported, by the short names of the criteria; '' if nothing was. */
export function seriousnessText(one) {
  return one.seriousness.length ? t('deskSerious', { criteria: one.seriousness.map((code) => t(`seriousnessShort-${code}`) ?? code).join(t('listGap')) }) : '';
}

/** A decision in a word; of a duplicate, of which case. */
export function decisionText({ decision, of }) {
  return t(`decisionShort-${decision}`, { of: of ?? '–' }) ?? decision;
}

/** The state, with the decision where there is one; of an exercise it says so first. */
export function stateText(one) {
  const decision = one.acknowledgement && decisionText(one.acknowledgement);
  return [one.exercise && t('deskExercise'), t(`state-${one.state}`), decision].filter(Boolean).join(' · ');
}

/** A span of milliseconds for people: 8 s, 12 min, 3 h 05 min, 2 d 4 h. */
export function span(ms) {
  const sign = ms < 0 ? '−' : '', s = Math.round(Math.abs(ms) / 1000), two = (n) => String(n).padStart(2, '0');
  if (s < 60) return `${sign}${t('spanSeconds', { s })}`;
  if (s < 3600) return `${sign}${t('spanMinutes', { min: Math.floor(s / 60) })}`;
  if (s < 48 * 3600) return `${sign}${t('spanHours', { h: Math.floor(s / 3600), min: two(Math.floor(s / 60) % 60) })}`;
  return `${sign}${t('spanDays', { d: Math.floor(s / 86400), h: Math.floor(s / 3600) % 24 })}`;
}
