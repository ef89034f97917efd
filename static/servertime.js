// The time by the server's clock. What is due is due by it, whatever the clock of this device says.

const tolerance = 5000;  // the header has whole seconds, and the answer has taken some time
let ahead = 0;           // of this device, in milliseconds

/** Learns from an answer what time it is. */
export function learnTime(response) {
  const difference = Date.parse(response.headers.get('Date')) - Date.now();
  if (!Number.isNaN(difference)) ahead = Math.abs(difference) > tolerance ? difference : 0;
}

/** What time it is. */
export const serverNow = () => new Date(Date.now() + ahead);
