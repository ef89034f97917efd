// What the status panel says about each state, in the current language.

import { t, size, number, list, percent } from './i18n.js';

/** The receipt as it came with the 202, or as the server tells it later. */
export const receiptOf = ({ receipt, report }) => receipt ?? report?.receipt;

/** What the first step says: what is to be sent, and then which copies are still needed. */
export function deviceWords({ phase, count, bytes, checked, report }) {
  if (phase !== 'stored') return count ? t('deviceSome', { n: count, size: size(bytes) }) : t('deviceNone');
  if (!count) return '';
  if (report?.status !== 'completed') return t('deviceKeep');
  if (checked !== 'same') return t('deviceKeepAll');
  // A problem of the whole report is one of its texts.
  const numbers = [...new Set((report.problems ?? []).map((problem) => problem.image).filter(Boolean))].sort((a, b) => a - b);
  return numbers.length ? t('deviceProblems', { n: numbers.length, photos: list(numbers.map(number)) }) : t('deviceKept');
}

/** What the second step says: a sentence, and one of detail. */
export function storedWords(state) {
  const { phase, loaded, total, bytes, checked } = state;
  switch (phase) {
    case 'sending':
      return [t('sending', { percent: percent(total ? loaded / total : 0) }),
        t('sendingDetail', { loaded: size(loaded), total: size(total || bytes) })];
    case 'confirming': return [t('confirming'), t('confirmingDetail')];
    case 'waiting': return waitingWords(state);
    case 'refused': return refusedWords(state);
    case 'stored':
      if (!receiptOf(state)) return [state.unknown ? t('unknown') : '', ''];
      return [t(typeof checked === 'number' ? 'storedOther' : 'stored'), ''];
    default: return [t('notYet'), ''];
  }
}

const waits = {
  offline: 'waitOffline', network: 'waitNetwork', busy: 'waitBusy', full: 'waitFull', strange: 'waitStrange', server: 'waitServer',
};

function waitingWords({ why, until, problem }) {
  const seconds = Math.max(Math.ceil((until - Date.now()) / 1000), 0);
  const detail = [
    why === 'strange' ? t('waitStrangeDetail') : problem?.detail ?? t('waitKept'),
    why === 'offline' ? t('againOnline') : t('again', { seconds: number(seconds) }),
  ];
  return [t(waits[why]), detail.join(t('gap'))];
}

function refusedWords({ status, problem }) {
  if (status === 409) return [t('conflict'), t('conflictDetail')];
  const detail = problem?.detail ?? problem?.title ?? t(status === 413 ? 'tooLarge' : 'refusedStatus', { status });
  if (problem?.stored) return [t('refusedStored'), detail];
  if (problem?.errors?.length) return [t('refusedFields'), detail];
  return [t('refused'), detail];
}

/** What the third step says. */
export function workWords({ phase, report, unknown }) {
  if (phase !== 'stored' || unknown) return '';
  if (!report) return t('loading');
  const { done = 0, total = 0 } = report.progress ?? {};
  const problems = report.problems?.length ?? 0;
  switch (report.status) {
    case 'processing': return total ? t('working', { done: number(done), total: number(total) }) : t('workingStart');
    case 'retrying': return t('retrying', { attempts: number(report.attempts) });
    case 'failed': return t('failed');
    case 'completed':
      return problems ? t('workProblems', { n: problems }) : t('workDone', { n: report.images?.length ?? 0 });
    default: return t('waiting');
  }
}

/** What the third step adds: that nobody answers, or the server's reason. */
export function workDetail(state) {
  const { phase, report, lost } = state;
  if (phase !== 'stored') return '';
  if (lost) return t(receiptOf(state) ? 'lost' : 'askFailed');
  return ['failed', 'retrying'].includes(report?.status) ? report.error ?? '' : '';
}
