// Times as RFC 3339 with the zone of this device.

/** The offset this device has at a time, summer time included: +08:00. */
export function offset(date) {
  const minutes = -date.getTimezoneOffset();
  return `${minutes < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`;
}

/** A time to the second, in the zone of this device. */
export function withOffset(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19) + offset(date);
}

const two = (n) => String(Math.floor(Math.abs(n))).padStart(2, '0');
