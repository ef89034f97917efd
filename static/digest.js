// Ids and digests made on the client. Both work without a secure context too,
// because phones often reach a site's server by plain http in its own network.

/** A new UUIDv7: unique, and its first 48 bits are this device's time. */
export function newId(now = Date.now()) {
  const b = crypto.getRandomValues(new Uint8Array(16));
  for (let i = 5, t = now; i >= 0; i--, t = Math.floor(t / 256)) b[i] = t % 256;
  b[6] = (b[6] & 0x0f) | 0x70;
  b[8] = (b[8] & 0x3f) | 0x80;
  return hex(b).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** When a UUIDv7 was made, or null for any other id. */
export function timeOf(id) {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/.test(id)) return null;
  return new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16));
}

/** The SHA-256 of a file in lower-case hex. Rejects if the file cannot be read. */
export async function sha256(file) {
  if (crypto.subtle) {
    return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer())));
  }
  return sha256Plain(file);
}

/** The same in plain JavaScript, a mebibyte at a time. */
export async function sha256Plain(file, step = 1 << 20) {
  const state = Uint32Array.from(initial);
  const whole = file.size - (file.size % 64);
  for (let offset = 0; offset < whole; offset += step) {
    blocks(state, await file.slice(offset, Math.min(offset + step, whole)).arrayBuffer());
  }
  blocks(state, await padded(file, whole));
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => out.setUint32(4 * i, word));
  return hex(new Uint8Array(out.buffer));
}

function hex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

// The last bytes, a one bit, zeros, and the length in bits.
async function padded(file, whole) {
  const rest = new Uint8Array(await file.slice(whole).arrayBuffer());
  const tail = new Uint8Array(rest.length < 56 ? 64 : 128);
  tail.set(rest);
  tail[rest.length] = 0x80;
  new DataView(tail.buffer).setBigUint64(tail.length - 8, BigInt(file.size) * 8n);
  return tail.buffer;
}

// FIPS 180-4: the constants are the first 32 bits of the fractional parts of the
// cube and square roots of the first primes.
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
const constants = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const initial = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
const schedule = new Int32Array(64);

function blocks(state, buffer) {
  const view = new DataView(buffer);
  for (let offset = 0; offset < view.byteLength; offset += 64) {
    for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(offset + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = schedule[i - 15], y = schedule[i - 2];
      schedule[i] = schedule[i - 16] + schedule[i - 7]
        + (rotateRight(x, 7) ^ rotateRight(x, 18) ^ (x >>> 3)) + (rotateRight(y, 17) ^ rotateRight(y, 19) ^ (y >>> 10));
    }
    block(state);
  }
}

function block(state) {
  let [a, b, c, d, e, f, g, k] = state;
  for (let i = 0; i < 64; i++) {
    const one = (k + (rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + schedule[i]) | 0;
    const two = ((rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    k = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, k].forEach((word, i) => { state[i] += word; });
}

function rotateRight(x, n) {
  return (x >>> n) | (x << (32 - n));
}
