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
    while (!(await fetch(`${base}readyz`).catch(() => null))?.ok) {
      assert.equal(running.exitCode, null, log);
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

async function freePort() {
  const one = createServer().listen(0, '127.0.0.1');
  await once(one, 'listening');
  const { port } = one.address();
  one.close();
  await once(one, 'close');
  return port;
}
