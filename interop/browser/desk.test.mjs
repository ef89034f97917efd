// What the safety desk promises, tried in a real browser against a running casepress.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { base, phone, launch, open, close, check, said, newPatient } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const openDesk = (options = {}) => open(browser, { ...options, at: new URL(`desk.html${options.hash ?? ''}`, base).href, within: base });

let n = 0;
async function report(page, { patient = newPatient(), study = 'BT', knownAgo = 3600, ...more } = {}) {
  const id = `AE-${Date.now().toString(36)}-${n++}`;
  const answer = await page.request.put(new URL(`adverse-events/${id}`, base).href, { data: {
    patientId: patient, study: study || undefined, visitId: 'V02', description: 'Rash on both arms since the morning.\nIt spreads.', knownAt: new Date(Date.now() - knownAgo * 1000).toISOString(), ...more,
  } });
  assert.equal(answer.status(), 201, await answer.text());
  return { id, patient };
}

const row = (page, part, patient) => page.locator(`#${part} > li`, { hasText: patient });

test('an alert appears by itself, sounds, changes the title, and is dealt with from the first to the last step', async () => {
  const page = await openDesk();
  await page.waitForSelector('#connection[data-connection="live"]');
  await page.evaluate(() => {
    globalThis.tones = 0;
    const create = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function createOscillator() { globalThis.tones++; return create.call(this); };
  });
  await page.click('#sound');
  await page.waitForFunction(() => document.getElementById('sound').getAttribute('aria-pressed') === 'true');
  assert.equal(await page.evaluate(() => globalThis.tones), 2, 'it is heard once');

  const { id, patient } = await report(page, { seriousness: ['C83052'], reporter: 'Nurse Wang' });
  await row(page, 'openCases', patient).waitFor();
  assert.equal(await page.evaluate(() => globalThis.tones), 4);
  assert.match(await page.title(), /^● 1 new · \(\d+\) Safety desk$/);
  assert.match(await said(page, '#alert'), new RegExp(`^New adverse event: patient ${patient}$`));
  assert.match(await row(page, 'openCases', patient).innerText(), /^New\b/, 'the row says that it is new');
  assert.match(await row(page, 'openCases', patient).innerText(), /Known for 1 h 00 min · due in 2[23] h/);
  assert.match(await row(page, 'openCases', patient).innerText(), /Reported as serious: hospitalisation/);
  await check(page, 'desk-list');

  await row(page, 'openCases', patient).locator('a').click();
  await page.waitForSelector('#acknowledge:visible');
  assert.match(await said(page, '#caseWhat'), /Rash on both arms[^]*Requires inpatient hospitalisation \(C83052\)[^]*Nurse Wang/);
  await check(page, 'desk-case');
  await page.click('#acknowledge button');
  assert.equal(await said(page, '#acknowledge-error'), 'Enter your name.');
  await page.fill('#ackName', 'Dr. Li');
  await page.click('#acknowledge button');
  assert.equal(await said(page, '#acknowledge-error'), 'Choose what it is.');
  await page.selectOption('#ackDecision', 'sae');
  await page.fill('#ackNote', 'Drug stopped.');
  await page.click('#acknowledge button');
  await page.waitForSelector('#close:visible');
  assert.match(await said(page, '#caseHeading'), /Acknowledged · SAE/);
  assert.match(await said(page, '#caseClock'), /^Acknowledged by Dr\. Li after 1 h 00 min, within the limit/);
  assert.equal(await page.inputValue('#closeName'), 'Dr. Li', 'the name is typed once');

  await page.fill('#followDescription', 'The rash has gone.');
  await page.click('#followUp button');
  await page.waitForFunction(() => document.getElementById('caseTimeline').textContent.includes('The rash has gone.'));
  await page.fill('#closeReason', 'Reported.');
  await page.click('#close button');
  await page.waitForFunction(() => document.getElementById('caseHeading').textContent.includes('Closed'));
  assert.equal(await page.locator('#close').isVisible(), false);
  const steps = await page.locator('#caseTimeline tbody th b').allInnerTexts();
  assert.deepEqual(steps, ['Received', 'Taken up by the service', 'Acknowledged', 'Follow-up', 'Closed']);
  await check(page, 'desk-closed');
  const pdf = await page.request.get(await page.locator('#casePdf').evaluate((a) => a.href));
  assert.equal(pdf.headers()['content-type'], 'application/pdf');
  await page.click('text=Back to the desk');
  await row(page, 'closedCases', patient).waitFor();
  assert.equal(await row(page, 'openCases', patient).count(), 0);
  assert.equal(id, (await page.locator('#closedCases a').first().getAttribute('href')).slice(2));
  await close(page);
});

test('of two who acknowledge one is told that the other was first', async () => {
  const [ann, bob] = [await openDesk(), await openDesk()];
  const { id, patient } = await report(ann);
  const other = await report(ann);
  for (const page of [ann, bob]) {
    await page.goto(new URL(`desk.html#/${id}`, base).href);
    await page.waitForSelector('#acknowledge:visible');
  }
  await bob.route('**/acknowledge', async (route) => { // after Ann, and before the page knows of it
    const answer = await ann.request.post(new URL(`adverse-events/${id}/acknowledge`, base).href, { data: { name: 'Ann', decision: 'not-serious' } });
    assert.equal(answer.status(), 200);
    await route.continue();
  });
  await bob.fill('#ackName', 'Bob');
  await bob.selectOption('#ackDecision', 'duplicate');
  await bob.fill('#ackOf', other.id);
  await bob.click('#acknowledge button');
  await bob.waitForFunction(() => document.getElementById('caseTimeline').textContent.includes('another came first'));
  assert.match(await bob.locator('#acknowledge-error').textContent(), /^Ann acknowledged this case before/);
  await ann.waitForFunction(() => document.getElementById('caseClock').textContent.includes('Acknowledged by Ann'));
  assert.equal(await ann.locator('#acknowledge').isVisible(), false);
  await row(ann, 'openCases', patient).waitFor({ state: 'detached' });   // the list is read by itself
  await close(ann);
  await close(bob);
});

test('a step that the server does not answer is given up, and what became of it is told for its own case', async () => {
  const page = await openDesk();
  const first = await report(page), second = await report(page);
  const routes = [];
  await page.route('**/follow-ups', (route) => { routes.push(route); });   // the server hangs
  await page.clock.install();
  await page.goto(new URL(`desk.html#/${first.id}`, base).href);
  await page.reload();
  await page.waitForSelector('#followUp:visible');
  await page.evaluate(() => {   // the browser's own clock cannot be put forward
    AbortSignal.timeout = (ms) => {
      const control = new AbortController();
      setTimeout(() => control.abort(new DOMException('late', 'TimeoutError')), ms);
      return control.signal;
    };
  });
  const send = async () => {
    await page.fill('#followDescription', 'x');
    await page.click('#followUp button');
    await page.waitForFunction(() => document.querySelector('#followUp button').disabled);
  };
  await send();
  await page.clock.fastForward(31_000);
  await page.waitForFunction(() => document.getElementById('followUp-error').textContent.includes('Nothing is lost'));
  await page.waitForFunction(() => !document.querySelector('#followUp button').disabled);
  await send();
  await page.evaluate((to) => { location.hash = to; }, `#/${second.id}`);
  await page.waitForFunction((id) => document.getElementById('caseHeading').textContent.startsWith(id), second.id);
  await routes.at(-1).fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify({ title: 'No', status: 409, code: 'id-conflict', stored: false, detail: 'Other words.' }) });
  await page.waitForFunction((id) => document.getElementById('alert').textContent === `Case ${id}: not stored. Other words.`, first.id);
  assert.equal(await page.locator('#followUp-error').isVisible(), false);
  const told = page.locator('#otherSteps li');   // whoever sees the page sees it, until it is put away
  assert.equal(await told.locator('p').textContent(), `Case ${first.id}: not stored. Other words.`);
  assert.ok((await told.boundingBox()).height > 20);
  await page.evaluate(() => { location.hash = '#'; });
  assert.equal(await told.isVisible(), true);
  await told.getByRole('link', { name: `Show case ${first.id}` }).click();
  await page.waitForFunction((id) => document.getElementById('caseHeading').textContent.startsWith(id), first.id);
  await told.getByRole('button', { name: `Seen: case ${first.id}` }).click();
  assert.equal(await told.count(), 0);
  await close(page);
});

test('a case that a hanging server does not tell is not for ever on its way', async () => {
  const page = await openDesk();
  const { id } = await report(page);
  await page.clock.install();
  await page.reload();
  await page.route(`**/adverse-events/${id}`, () => {});
  await page.evaluate((to) => { location.hash = to; }, `#/${id}`);
  await page.waitForFunction(() => document.getElementById('caseState').textContent === 'Asking the server');
  await page.clock.fastForward(11_000);
  await page.waitForFunction(() => document.getElementById('caseState').textContent === 'The server did not answer.');
  await close(page);
});

test('a search that is refused leaves no cases of another one', async () => {
  const page = await openDesk();
  const { patient } = await report(page);
  await row(page, 'openCases', patient).waitFor();
  await page.fill('#searchStudy', 'B T');
  await page.click('#search button[type=submit]');
  await page.waitForSelector('#search-error:visible');
  assert.equal(await page.locator('.found > li').count(), 0);
  assert.equal(await page.locator('#openHeading').isVisible(), false);
  assert.equal(await page.title(), 'Safety desk');
  await page.fill('#searchStudy', 'BT');
  await page.click('#search button[type=submit]');
  await row(page, 'openCases', patient).waitFor();
  assert.doesNotMatch(await row(page, 'openCases', patient).innerText(), /^New\b/);
  await close(page);
});

test('an exercise is on the desk only by a tick, and is marked', async () => {
  const page = await openDesk();
  const study = `X${Date.now().toString(36)}`;
  const drill = await report(page, { study, exercise: true }), real = await report(page, { study });
  await page.fill('#searchStudy', study);
  await page.click('#search button[type=submit]');
  await row(page, 'openCases', real.patient).waitFor();
  assert.equal(await row(page, 'openCases', drill.patient).count(), 0);
  await page.check('#searchExercises');
  await row(page, 'openCases', drill.patient).waitFor();
  assert.match(await row(page, 'openCases', drill.patient).innerText(), /Exercise · Open/);
  await check(page, 'desk-exercises');
  await row(page, 'openCases', drill.patient).locator('a').click();
  await page.waitForSelector('#acknowledge:visible');
  assert.match(await said(page, '#caseHeading'), /Exercise · Open/);
  assert.match(await said(page, '#caseWhat'), /^This is an exercise\. No patient is concerned\./);
  await close(page);
});

test('a duplicate names the other case, and a study that nobody has is not taken for all clear', async () => {
  const page = await openDesk();
  const study = `D${Date.now().toString(36)}`;
  const first = await report(page, { study }), second = await report(page, { study, patient: first.patient });
  const answer = await page.request.post(new URL(`adverse-events/${second.id}/acknowledge`, base).href, { data: { name: 'Ann', decision: 'duplicate', of: first.id } });
  assert.equal(answer.status(), 200, await answer.text());
  await page.fill('#searchStudy', study.toLowerCase());
  await page.click('#search button[type=submit]');
  await page.waitForSelector('#neverSeen:visible');
  assert.equal(await said(page, '#neverSeen'), `No case of a study ${study.toLowerCase()} was ever found here. Is the name right? Capital and small letters matter.`);
  assert.equal(await page.getByText('Nothing waits').isVisible(), false);
  assert.equal(await page.locator('#openHeading').isVisible(), false);
  await check(page, 'desk-never-seen');
  await page.fill('#searchStudy', study);
  await page.click('#search button[type=submit]');
  await page.locator('#acknowledgedCases > li').waitFor();
  assert.equal(await page.locator('#neverSeen').isVisible(), false);
  assert.match(await said(page, '#acknowledgedCases'), new RegExp(`duplicate of ${first.id}`));
  await page.click('#acknowledgedCases a');
  await page.waitForSelector('#caseWhat a:visible');
  assert.match(await said(page, '#caseHeading'), new RegExp(`duplicate of ${first.id}`));
  assert.match(await said(page, '#caseTimeline'), new RegExp(`duplicate of ${first.id}`));
  await page.click('#caseWhat a');
  await page.waitForFunction((id) => document.getElementById('caseHeading').textContent.startsWith(id), first.id);
  await close(page);
});

test('the desk of a study, in Chinese and on a phone', async () => {
  const page = await openDesk({ ...phone, locale: 'zh-CN' });
  const late = await report(page, { study: 'S-late', knownAgo: 30 * 3600 });
  await report(page, { study: 'S-late', knownAgo: 60 });
  await page.fill('#searchStudy', 'S-late');
  await page.tap('#search button[type=submit]');
  await page.waitForFunction(() => document.querySelectorAll('#openCases > li').length === 2);
  assert.match(await page.locator('#openCases > li').first().innerText(), /获知已 30 小时 00 分 · 已超时 6 小时/, 'what is due first comes first');
  assert.match(await page.title(), /^\(2\) 安全工作台$/);
  await check(page, 'desk-phone-list-zh');
  await page.tap('#openCases a');
  await page.waitForSelector('#acknowledge:visible');
  assert.match(await said(page, '#caseHeading'), new RegExp(`${late.id} · 待处理`));
  await check(page, 'desk-phone-case-zh');
  assert.match(await said(page, '#zone'), /^时间均为本设备的时区（UTC|时间均为本设备的时区（.+, UTC[+-]/);
  const cut = await page.locator('#caseTimeline :is(td, tbody th)').evaluateAll((cells) => cells.map((cell) => cell.getBoundingClientRect())
    .filter(({ left, right, height }) => left < 0 || right > 390 || !height).length);
  assert.equal(cut, 0, 'every cell of the timeline is on the screen');
  assert.match(await page.locator('#caseTimeline tbody').innerText(), /已接收[^]*系统已开始处理/);
  await page.selectOption('#ackDecision', 'duplicate');
  await page.waitForSelector('#ackOf:visible');
  await page.fill('#ackName', '李医生');
  await page.fill('#ackOf', 'none');
  await page.tap('#acknowledge button');
  await page.waitForFunction(() => document.getElementById('acknowledge-error').textContent.includes('没有不良事件 none'));
  await page.goto(new URL('desk.html#/no-such-case', base).href);
  await page.waitForFunction(() => document.getElementById('caseState').textContent === '没有此编号的事件。');
  await page.goto(new URL('desk.html#', base).href);
  await page.fill('#searchStudy', 'not an id');
  await page.tap('#search button[type=submit]');
  await page.waitForFunction(() => document.getElementById('search-error').textContent.includes('study'));
  await close(page);
});

for (const locale of ['en-GB', 'en-US', 'zh-CN']) {
  test(`a day of the timeline cannot be taken for another, and only a study is said to set a limit (${locale})`, async () => {
    const page = await openDesk({ ...phone, locale });
    const zh = locale === 'zh-CN';
    const day = { 'en-GB': /\d+ [A-Z][a-z]+ \d{4}/, 'en-US': /[A-Z][a-z]+ \d+, \d{4}/, 'zh-CN': /\d{4}年\d+月\d+日/ }[locale];
    for (const [study, sentence] of [
      ['', zh ? '送达时，获知时间已超过时限。' : 'When it arrived it had been known for longer than the limit.'],
      ['BT', zh ? '送达时，获知时间已超过研究规定的时限。' : 'When it arrived it had been known for longer than the study allows.'],
    ]) {
      const { id } = await report(page, { knownAgo: 30 * 3600, study });
      await page.goto(new URL(`desk.html#/${id}`, base).href);
      await page.waitForFunction((of) => document.getElementById('caseHeading').textContent.startsWith(`${of} · `), id);
      assert.equal(await said(page, '#caseWhat ul:last-child > li'), sentence);
      assert.match(await page.locator('#caseTimeline tbody td').first().innerText(), day);
    }
    await check(page, `desk-timeline-${locale}`);
    await page.setViewportSize({ width: 1280, height: 900 });
    assert.ok(await page.locator('#caseTimeline .tableBox').evaluate((box) => box.scrollWidth <= box.clientWidth), 'it fits');
    await check(page, `desk-timeline-wide-${locale}`);
    await close(page);
  });
}

test('a flag of answers is a case, and a server that is gone is told', async () => {
  const page = await openDesk();
  const patient = newPatient();
  const answer = await page.request.put(new URL(`questionnaire-responses/QR-${Date.now()}`, base).href, { data: {
    study: 'BT', instrument: 'phq-9', version: '1', patientId: patient, visitId: 'V02', language: 'en', authored: new Date().toISOString(),
    answers: { 1: 0, 2: 0, 3: 0, 4: 1, 5: 2, 6: 1, 7: 3, 8: 2, 9: 1 },
  } });
  assert.equal(answer.status(), 201, await answer.text());
  await row(page, 'openCases', patient).waitFor();
  assert.match(await row(page, 'openCases', patient).innerText(), /Urgent flag: Thoughts of being better off dead or of hurting oneself · answer: Several days \(1\)/);
  await check(page, 'desk-flag-list');
  await row(page, 'openCases', patient).locator('a').click();
  await page.waitForSelector('#acknowledge:visible');
  assert.match(await said(page, '#caseWhat'), /^Urgent flag: Thoughts of being [^]*better off dead or of hurting yourself in some way Several days \(1\)[^]*phq-9-item-9/);
  await check(page, 'desk-flag-case');
  await page.click('#language');
  assert.match(await said(page, '#caseWhat'), /^紧急警示：有不如死去或伤害自己的想法/);
  await page.click('#language');
  assert.match(await page.locator('#caseWhat a').getAttribute('href'), /^responses\.html#\/QR-\d+\/1$/);
  await page.route('**/adverse-events**', (route) => route.abort());
  await page.fill('#followDescription', 'x');
  await page.click('#followUp button');
  await page.waitForFunction(() => document.getElementById('connection').textContent.startsWith('Not connected: the server does not answer.'));
  assert.match(await page.title(), /^⚠ Not connected · /);
  await page.waitForFunction(() => document.getElementById('followUp-error').textContent.includes('Nothing is lost'));
  assert.equal(await page.inputValue('#followDescription'), 'x');
  await page.unroute('**/adverse-events**');
  await page.click('#followUp button');
  await page.waitForFunction(() => document.getElementById('caseTimeline').textContent.includes('Follow-up'));
  await close(page);
});
