// Pictures made on the spot, so that the test needs no files of anybody.
import { deflateSync, crc32 } from 'node:zlib';

/** A PNG with a gradient that differs by seed, as a file for setInputFiles. */
export function picture(seed, { width = 640, height = 480, noise = false } = {}) {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  let random = seed + 1;
  for (let y = 0, at = 0; y < height; y++) {
    at++; // the row's filter: none
    for (let x = 0; x < width; x++) {
      random = (random * 1664525 + 1013904223) >>> 0;
      const grain = noise ? random >>> 24 : 0;
      rows[at++] = (x * 255) / width ^ grain;
      rows[at++] = (y * 255) / height ^ grain;
      rows[at++] = (seed * 67) & 255;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const buffer = Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
  return { name: `photo-${seed}.png`, mimeType: 'image/png', buffer };
}

/** A picture whose header is whole and whose content ends half-way. */
export function truncated(seed) {
  const whole = picture(seed, { noise: true });
  return { ...whole, name: `truncated-${seed}.png`, buffer: whole.buffer.subarray(0, whole.buffer.length / 2) };
}

/** A picture whose header says that it has 900 million pixels. */
export function manyPixels(seed) {
  const { buffer, ...rest } = picture(seed);
  buffer.writeUInt32BE(30_000, 16);
  buffer.writeUInt32BE(30_000, 20);
  buffer.writeUInt32BE(crc32(buffer.subarray(12, 29)), 29); // of the header
  return { ...rest, name: `many-${seed}.png`, buffer };
}

/** Text that says it is a picture. */
export const text = { name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('These are notes, not a picture.\n'.repeat(40)) };

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
