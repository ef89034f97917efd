// Whether the server has a file of a study. One without has no crisis text of its own, no flags and no visits.

import { language } from './i18n.js';
import { newId } from './digest.js';

const longestWait = 10_000;   // ms: a page must not wait for this longer than a person would

/**
 * Whether the server has a file of the study: true, false, or null if it cannot be asked, as without a connection. The
 * study without a name needs no file. Never rejects.
 */
export async function hasFile(study) {
  if (!study) return true;
  // Only the title is wanted, which every file has: the answer is that of a patient whom nobody has, so that it tells of no patient.
  const query = new URLSearchParams({ study, patientId: newId(), limit: 1 });
  try {
    const response = await fetch(`trial-progress?${query}`, {
      signal: AbortSignal.timeout(longestWait), cache: 'no-store', headers: { Accept: 'application/json', 'Accept-Language': language },
    });
    const answer = response.ok ? await response.json() : null;
    return answer?.study === study && typeof answer.title === 'string' ? answer.title !== '' : null;
  } catch {
    return null;
  }
}
