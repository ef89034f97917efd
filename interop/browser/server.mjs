// A casepress of a test's own, which the test can stop and start again.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = process.env.CASEPRESS;   // the one that run.sh has built
const studies = new URL('studies', import.meta.url).pathname;

/** Starts casepress on a free port with a fresh data folder. It ends with the test t. */
export async function serve(t, ...options) {
  assert.ok(program, 'CASEPRESS must name the program: use run.sh');
  const folder = mkdtempSync(join(tmpdir(), 'casepress-live-'));
  const port = await freePort();
  const base = `http://127.0.0.1:${port}/`;
  let running = null, log = '';

  async function start() {
    running = spawn(program, ['serve', '--hosts', 'site.test', '--http-addr', `127.0.0.1:${port}`, '--admin-addr', '127.0.0.1:0', '--grpc-addr', '127.0.0.1:0',
      '--data-dir', join(folder, 'data'), '--studies', studies, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
    running.stderr.on('data', (text) => { log += text; });
    const deadline = Date.now() + 120_000;
    while (!(await fetch(`${base}readyz`, { signal: AbortSignal.timeout(2000) }).catch(() => null))?.ok) {
      assert.equal(running.signalCode ?? running.exitCode, null, log);
      assert.ok(Date.now() < deadline, log);
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
  }

  async function stop(signal = 'SIGTERM') {
    if (!running || running.exitCode !== null) return;
    const ended = once(running, 'exit');
    running.kill(signal);
    await ended;
    running = null;
  }

  t.after(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  return { base, start, stop };
}

// A port that nobody takes while the server is away: it is not among those that the system hands out.
async function freePort() {
  for (let port = 20_000 + Math.floor(10_000 * Math.random()); ; port++) {
    const one = createServer().listen(port, '127.0.0.1');
    const free = await Promise.race([once(one, 'listening').then(() => true), once(one, 'error').then(() => false)]);
    if (!free) continue;
    one.close();
    await once(one, 'close');
    return port;
  }
}
