// That the safety desk and trial progress follow what happens: in two browsers at once, in the
// background, over a restart of the server, and where there can be no stream of events.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { phone, launch, open, close, check, said, newPatient } from './browser.mjs';
import { serve } from './server.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const openPage = (base, name, options = {}) => open(browser, { ...options, at: new URL(name, base).href, within: base });
const openDesk = (base, options) => openPage(base, 'desk.html', options);

/** Another tab of the same browser. */
async function openTab(page, name = 'desk.html') {
  const tab = await page.context().newPage();
  await tab.goto(new URL(name, page.url()).href);
  return tab;
}

const is = (page, connection, options) => page.waitForSelector(`#connection[data-connection="${connection}"]`, options);
const row = (page, part, patient) => page.locator(`#${part} > li`, { hasText: patient });

let n = 0;
async function report(base, { knownAgo = 3600, ...more } = {}) {
  const id = `AE-${Date.now().toString(36)}-${n++}`, patient = newPatient();
  const answer = await fetch(new URL(`adverse-events/${id}`, base), {
    method: 'PUT', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ patientId: patient, study: 'BT', visitId: 'V02', description: 'Rash on both arms.', knownAt: new Date(Date.now() - knownAgo * 1000).toISOString(), ...more }),
  });
  assert.equal(answer.status, 201, await answer.text());
  return { id, patient };
}

async function acknowledge(base, id, name = 'Dr. Li') {
  const answer = await fetch(new URL(`adverse-events/${id}/acknowledge`, base), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name, decision: 'not-serious' }) });
  assert.equal(answer.status, 200, await answer.text());
}

/**
 * Waits for something on a page whose clock stands still, and lets it go on by less than 10 s: enough for the page to
 * rest between two readings, and too little for it to read without a reason.
 */
async function soon(page, what, condition, of) {
  for (let ms = 0; ms < 9800; ms += 200) {
    if (await page.evaluate(condition, of)) return;
    await page.clock.runFor(200);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  assert.fail(`${what}: did not show by itself`);
}

test('what happens shows at once, without the page asking for it', async (t) => {
  const server = await serve(t);
  const [ann, bob] = [await openDesk(server.base), await openDesk(server.base)];
  for (const page of [ann, bob]) {
    await page.clock.install();
    await page.reload();
    await is(page, 'live');
    await page.clock.pauseAt(Date.now() + 1000);
  }
  const shows = ([part, patient]) => [...document.querySelectorAll(`#${part} > li`)].some((one) => one.textContent.includes(patient));
  const { id, patient } = await report(server.base);
  for (const page of [ann, bob]) {
    await soon(page, 'the new case', shows, ['openCases', patient]);
    assert.match(await page.title(), /^● 1 new · \(1\) Safety desk$/);
    assert.equal(await page.locator('link[rel="icon"]').getAttribute('href'), 'favicon-alert.svg');
    assert.equal(await said(page, '#alert'), `New adverse event: patient ${patient}`);
    assert.match(await row(page, 'openCases', patient).innerText(), /^New\b/);
  }
  // Ann has the case before her and the focus in the form when somebody else acknowledges it.
  await row(ann, 'openCases', patient).locator('a').click();
  await ann.waitForSelector('#acknowledge:visible');
  assert.equal(await ann.title(), '(1) Safety desk', 'she was at the page');
  await ann.focus('#ackNote');
  await row(bob, 'openCases', patient).locator('a').focus();
  await acknowledge(server.base, id);
  await soon(bob, 'the acknowledgement', shows, ['acknowledgedCases', patient]);
  await soon(ann, 'the acknowledgement of the case', () => document.getElementById('caseClock').textContent.includes('Acknowledged by Dr. Li'));
  assert.equal(await ann.locator('#acknowledge').isVisible(), false);
  assert.equal(await ann.evaluate(() => document.activeElement.id), 'caseHeading', 'the focus is not lost with the form');
  assert.equal(await said(ann, '#live'), `Patient ${patient}: acknowledged by Dr. Li`);
  assert.equal(await said(bob, '#live'), `Patient ${patient}: acknowledged by Dr. Li`);
  assert.equal(await bob.evaluate(() => document.activeElement.getAttribute('href')), `#/${id}`, 'the focus goes with the case');
  assert.equal(await row(bob, 'openCases', patient).count(), 0);
  assert.equal(await said(bob, '#noneOpen'), 'Nothing waits to be acknowledged.');
  await close(ann);
  await close(bob);
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`over a restart of the server (${signal}) the desk says that it is not connected, and misses nothing`, async (t) => {
    const server = await serve(t);
    const old = await report(server.base);
    const [desk, chinese] = [await openDesk(server.base), await openDesk(server.base, { ...phone, locale: 'zh-CN' })];
    const progress = await openPage(server.base, 'progress.html');
    for (const page of [desk, chinese, progress]) await is(page, 'live');
    await server.stop(signal);
    for (const page of [desk, chinese, progress]) await is(page, 'lost');
    assert.match(await said(desk, '#connection'), /^Not connected: the server does not answer\. What is shown may be out of date\. As of \d/);
    assert.match(await said(desk, '#alert'), /^Not connected/);
    assert.equal(await desk.title(), '⚠ Not connected · (1) Safety desk');
    assert.equal(await chinese.title(), '⚠ 未连接 · (1) 安全工作台');
    assert.equal(await desk.locator('link[rel="icon"]').getAttribute('href'), 'favicon-alert.svg');
    await row(desk, 'openCases', old.patient).waitFor();   // what is known stays
    await check(desk, `live-lost-${signal}`);
    await check(chinese, `live-lost-phone-zh-${signal}`);
    await check(progress, `live-lost-progress-${signal}`);
    await server.start();
    const { patient } = await report(server.base);          // before the pages have come back, or after
    for (const page of [desk, chinese, progress]) await is(page, 'live');
    for (const page of [desk, chinese]) await row(page, 'openCases', patient).waitFor();
    assert.equal(await desk.title(), '● 1 new · (2) Safety desk');
    assert.equal(await chinese.title(), '● 1 起新事件 · (2) 安全工作台');
    assert.match(await row(desk, 'openCases', patient).innerText(), /^New\b/);
    assert.doesNotMatch(await row(desk, 'openCases', old.patient).innerText(), /^New\b/);
    await check(desk, `live-back-${signal}`);
    await check(chinese, `live-back-phone-zh-${signal}`);
    for (const page of [desk, chinese, progress]) await close(page);
  });
}

test('a tab in the background says so in its title, until somebody is there', async (t) => {
  const server = await serve(t);
  const desk = await openDesk(server.base);
  await is(desk, 'live');
  const session = await desk.context().newCDPSession(desk);
  await session.send('Emulation.setFocusEmulationEnabled', { enabled: false });   // the driver lets each tab believe that it is in front
  const other = await openTab(desk, 'progress.html');
  await other.bringToFront();
  await desk.waitForFunction(() => !document.hasFocus());   // Chromium without a screen calls all tabs visible
  for (const count of [1, 2, 3]) {
    await report(server.base);
    await desk.waitForFunction((title) => document.title === title, `● ${count} new · (${count}) Safety desk`);
  }
  await desk.bringToFront();
  await desk.waitForFunction(() => document.title === '(3) Safety desk');
  assert.equal(await desk.locator('link[rel="icon"]').getAttribute('href'), 'favicon.svg');
  assert.equal(await desk.locator('#openCases > li[data-new="true"]').count(), 3, 'each row stays marked until it is opened');
  await desk.locator('#openCases a').first().click();
  await desk.waitForSelector('#acknowledge:visible');
  await desk.goBack();
  assert.equal(await desk.locator('#openCases > li[data-new="true"]').count(), 2);
  await close(desk);
});

test('all tabs of a browser share one connection, however many there are', async (t) => {
  const server = await serve(t, '--max-streams-per-address', '2');
  const desk = await openDesk(server.base);
  const tabs = [desk];
  for (let i = 0; i < 7; i++) tabs.push(await openTab(desk, i % 2 ? 'desk.html' : 'progress.html'));   // more than a browser has connections
  for (const tab of tabs) await is(tab, 'live');
  const { patient } = await report(server.base);
  for (const tab of tabs.filter((one) => one.url().endsWith('desk.html'))) await row(tab, 'openCases', patient).waitFor();
  await tabs.shift().close();   // the one that was first: the others go on
  const next = await report(server.base);
  for (const tab of tabs.filter((one) => one.url().endsWith('desk.html'))) await row(tab, 'openCases', next.patient).waitFor();
  for (const tab of tabs) await is(tab, 'live');
  await tabs[0].context().close();
});

test('where the server has no stream left the page asks, and takes one as soon as there is one', async (t) => {
  const server = await serve(t, '--max-streams-per-address', '1');
  const first = await openDesk(server.base);
  await is(first, 'live');
  const second = await openDesk(server.base);
  await is(second, 'asking');
  assert.match(await said(second, '#connection'), /^No live updates: the server is asked every few seconds\. As of \d/);
  const { patient } = await report(server.base);
  await row(second, 'openCases', patient).waitFor();
  assert.match(await second.title(), /^● 1 new/);
  await check(second, 'live-asking');
  await close(first);
  await is(second, 'live', { timeout: 120_000 });
  await close(second);
});

test('without shared workers, and by a name that is no secure context, there are events too', async (t) => {
  const server = await serve(t);
  const alone = await openDesk(server.base);
  await alone.addInitScript(() => { delete globalThis.SharedWorker; });
  await alone.reload();
  await is(alone, 'live');
  const named = await openDesk(server.base.replace('127.0.0.1', 'site.test'));
  assert.equal(await named.evaluate(() => isSecureContext), false);
  await is(named, 'live');
  const { patient } = await report(server.base);
  for (const page of [alone, named]) await row(page, 'openCases', patient).waitFor();
  // In the background such a tab gives its connection back.
  await alone.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await is(alone, 'asking');
  await alone.evaluate(() => {
    delete document.visibilityState;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await is(alone, 'live');
  await close(alone);
  await close(named);
});

test('clocks go on without asking, and by the clock of the server', async (t) => {
  const server = await serve(t);
  const { id, patient } = await report(server.base);
  const page = await openDesk(server.base);
  await page.clock.install({ time: Date.now() - 3 * 3_600_000 });   // a computer whose clock is wrong
  await page.reload();
  await is(page, 'live');
  assert.match(await row(page, 'openCases', patient).innerText(), /Known for 1 h 00 min · due in 2[23] h/);
  await page.route('**/adverse-events**', (route) => route.abort());
  await page.clock.runFor(30_000);
  await is(page, 'lost');   // no answer is on its way that could set the clock right
  await page.clock.runFor(2 * 60_000);
  assert.match(await row(page, 'openCases', patient).innerText(), /Known for 1 h 0[2-4] min · due in 22 h 5[5-8] min/);
  await page.clock.fastForward(23 * 3_600_000);
  await page.clock.runFor(1000);
  assert.match(await row(page, 'openCases', patient).innerText(), /Known for 24 h 0[2-4] min · overdue by [2-4] min/);
  assert.equal(await row(page, 'openCases', patient).locator('.deskDue').getAttribute('data-late'), 'true');

  await page.unroute('**/adverse-events**');
  await page.clock.runFor(10_000);
  await is(page, 'live');
  assert.match(await row(page, 'openCases', patient).innerText(), /Known for 1 h 00 min/, 'the server knows better');
  await row(page, 'openCases', patient).locator('a').click();
  await page.waitForFunction(() => document.getElementById('caseClock').textContent.startsWith('Known for 1 h 00 min'));
  assert.equal(new URL(page.url()).hash, `#/${id}`);
  await page.route('**/adverse-events**', (route) => route.abort());
  await page.clock.runFor(30_000);
  await is(page, 'lost');
  await page.clock.runFor(2 * 60_000);
  assert.match(await said(page, '#caseClock'), /^Known for 1 h 0[2-4] min/);
  await close(page);
});

test('sound that was turned on is blocked after the page was opened again, says so, and comes back with any press', async (t) => {
  const server = await serve(t);
  const page = await openDesk(server.base);
  await page.context().addInitScript(() => {
    globalThis.tones = 0;
    const create = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function createOscillator() { globalThis.tones++; return create.call(this); };
  });
  await page.click('#sound');
  await page.waitForSelector('#sound[aria-pressed="true"]');
  const again = await openTab(page);
  await is(again, 'live');
  assert.equal(await said(again, '#sound'), 'Sound is blocked: press here');
  await check(again, 'live-sound-blocked');
  await again.keyboard.press('Tab');
  await again.waitForSelector('#sound[aria-pressed="true"]');
  assert.equal(await again.evaluate(() => globalThis.tones), 0, 'nothing is new');
  await report(server.base);
  await again.waitForFunction(() => globalThis.tones === 2);
  await again.click('#sound');
  await again.waitForSelector('#sound[aria-pressed="false"]');
  const { patient } = await report(server.base);
  await row(again, 'openCases', patient).waitFor();
  assert.equal(await again.evaluate(() => globalThis.tones), 2);
  await again.reload();
  await is(again, 'live');
  assert.equal(await said(again, '#sound'), 'Turn sound on');
  await close(page);
});

test('the list keeps its entries, so that the focus stays, and shows nothing twice', async (t) => {
  const server = await serve(t);
  const first = await report(server.base, { knownAgo: 7200 });
  const page = await openDesk(server.base);
  await is(page, 'live');
  const link = row(page, 'openCases', first.patient).locator('a');
  await link.focus();
  await link.evaluate((node) => { globalThis.entry = node; });
  const others = [];
  for (let i = 0; i < 30; i++) others.push(await report(server.base, { knownAgo: i % 2 ? 3600 : 10_000 }));   // before it and behind it
  for (const { id } of others.slice(0, 25)) await acknowledge(server.base, id);
  await page.waitForFunction(() => document.querySelectorAll('#openCases > li').length === 6 && document.querySelectorAll('#acknowledgedCases > li').length === 20);
  assert.equal(await page.evaluate(() => document.activeElement === globalThis.entry), true);
  const keys = await page.locator('.found > li').evaluateAll((nodes) => nodes.map((one) => one.dataset.key));
  assert.equal(new Set(keys).size, keys.length);
  await close(page);
});

const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString();

async function answers(base, { patientId, visitId, instrument = 'phq-9', authored }) {
  const items = instrument === 'phq-9' ? 9 : 7;
  const answer = await fetch(new URL(`questionnaire-responses/QR-${Date.now().toString(36)}-${n++}`, base), {
    method: 'PUT', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ study: 'TP', site: '101', instrument, version: '1', patientId, visitId, language: 'en', authored, answers: Object.fromEntries(Array.from({ length: items }, (_, i) => [String(i + 1), 0])) }),
  });
  assert.equal(answer.status, 201, await answer.text());
}

test('trial progress changes by itself, and leaves the focus and the place alone', async (t) => {
  const server = await serve(t);
  const patientId = newPatient();
  await answers(server.base, { patientId, visitId: 'V01', authored: daysAgo(7) });
  const [page, small] = [await openPage(server.base, 'progress.html'), await openPage(server.base, 'progress.html', { ...phone, locale: 'zh-CN' })];
  const cell = (on, visit) => on.locator(`button[data-key="${patientId} ${visit}"]`);
  for (const one of [page, small]) {
    await one.fill('#searchStudy', 'TP');
    await one.click('#search button[type=submit]');
    await cell(one, 'V02').waitFor();
    await is(one, 'live');
  }
  assert.match(await cell(page, 'V02').innerText(), /Expected/);
  await cell(page, 'V02').click();
  await page.waitForSelector('#detail:visible');
  await cell(page, 'V03').focus();
  const scrolled = await small.locator('.gridBox').evaluate((box) => { box.scrollLeft = 60; return box.scrollLeft; });
  assert.ok(scrolled > 0);
  await answers(server.base, { patientId, visitId: 'V02', authored: daysAgo(0) });
  for (const one of [page, small]) await one.waitForFunction((key) => /1 of 2|已交 1/.test(document.querySelector(`[data-key="${key}"]`).textContent), `${patientId} V02`);
  await page.waitForFunction(() => document.querySelectorAll('#detailBody a').length === 1);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.key), `${patientId} V03`);
  assert.equal(await small.locator('.gridBox').evaluate((box) => box.scrollLeft), scrolled);
  await answers(server.base, { patientId, visitId: 'V02', instrument: 'gad-7', authored: daysAgo(0) });
  for (const one of [page, small]) await one.waitForFunction((key) => /Complete|已完成/.test(document.querySelector(`[data-key="${key}"]`).textContent), `${patientId} V02`);
  await check(page, 'live-progress');
  await check(small, 'live-progress-phone-zh');
  await close(page);
  await close(small);
});
