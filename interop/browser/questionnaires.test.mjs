// What the pages of questionnaires promise, tried in a real browser against a running casepress
// that has the studies of the folder studies.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { base, plain, phone, launch, open, close, check, said, newPatient } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

/** Opens the patient's page on a phone. */
const openPhone = (options = {}) => open(browser, { ...phone, ...options, at: new URL('questionnaires.html', options.at ?? base).href, within: options.at ?? base });

/** The pages of staff. */
const openStaff = (options = {}) => open(browser, { ...options, at: new URL('responses.html', base).href, within: base });

async function start(page, { patient = newPatient(), visit = 'V02', study = 'BT', instrument = 'phq-9 1' } = {}) {
  await page.fill('#study', study);
  await page.locator('#study').dispatchEvent('change');
  await page.fill('#patientId', patient);
  await page.fill('#visitId', visit);
  await page.waitForFunction((value) => [...document.querySelectorAll('#questionnaire option')].some((o) => o.value === value), instrument);
  await page.selectOption('#questionnaire', instrument);
  await page.click('#startForm button[type=submit]');
  await page.waitForSelector('#fill:visible');
  return patient;
}

const at = (page, n) => page.waitForFunction((k) => location.hash.endsWith(`/${k}`), n);

/** Answers questions from the one that is shown: null leaves one without an answer. */
async function answer(page, values) {
  let n = Number(new URL(page.url()).hash.split('/')[2]);
  for (const value of values) {
    await at(page, n);
    await page.waitForFunction((k) => document.getElementById('where').textContent.match(/\d+/)[0] === String(k), n);
    if (value !== null) await page.tap(`.option:has(input[value="${value}"])`);
    await page.tap('#next');
    n++;
  }
  if (n > Number((await said(page, '#where')).match(/\d+/g).at(-1))) await page.waitForSelector('#check:visible');
}

const kept = (page) => page.evaluate(() => new Promise((resolve, reject) => {
  const request = indexedDB.open('casepress');
  request.onerror = () => reject(request.error);
  request.onsuccess = () => {
    const all = request.result.transaction('responses').objectStore('responses').getAll();
    all.onsuccess = () => { request.result.close(); resolve(all.result); };
  };
}));

async function responsesOf(page, patient) {
  const response = await page.request.get(new URL(`questionnaire-responses?patientId=${patient}`, base).href);
  assert.equal(response.status(), 200);
  return (await response.json()).items;
}

async function stored(page, id) {
  const response = await page.request.get(new URL(`questionnaire-responses/${id}?wait=20s`, base).href);
  assert.equal(response.status(), 200);
  return response.json();
}

const idOf = (page) => new URL(page.url()).hash.split('/')[1];

test('PHQ-9 on a phone: offline, online again, and there exactly once', async () => {
  const page = await openPhone();
  await page.waitForFunction(() => document.querySelectorAll('#questionnaire option').length > 5);
  await check(page, 'start-en');
  const patient = await start(page);
  await page.context().setOffline(true);
  await check(page, 'question-en');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'questionText');
  assert.equal(await said(page, '#where'), 'Question 1 of 10');
  await answer(page, [1, 2, 0, 1, 0, null, 3]);
  await page.tap('#back');
  await at(page, 7);
  assert.ok(await page.isChecked('.option input[value="3"]'));
  await answer(page, [2, 0, 0, 1]);
  await page.waitForSelector('#check:visible');
  assert.equal(await said(page, '#checkSummary'), '1 question has no answer. Do you want to answer it?');
  await check(page, 'check-en');
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="held"]');
  assert.equal(await said(page, '#sentState'), 'Not stored yet: this device is offline');
  await check(page, 'waiting-en');
  const id = idOf(page);
  const [record] = await kept(page);
  assert.equal(record.id, id);
  assert.deepEqual((await responsesOf(page, patient)), []);

  await page.context().setOffline(false);
  await page.waitForSelector('#sentVerified:visible');
  await check(page, 'stored-en');
  const response = await stored(page, id);
  assert.equal(response.receipt.sha256, createHash('sha256').update(record.document).digest('hex'));
  assert.equal(await said(page, '#sentDigest'), response.receipt.sha256);
  assert.deepEqual(response.answers, { 1: 1, 2: 2, 3: 0, 4: 1, 5: 0, 7: 2, 8: 0, 9: 0, difficulty: 1 });
  assert.equal(response.language, 'en');
  assert.match(response.times.authored, /[+-]\d\d:\d\d$/);
  assert.equal((await responsesOf(page, patient)).length, 1);
  assert.deepEqual(await kept(page), []);
  await close(page);
});

test('an answer lost on the way is sent again with the same bytes, and stored once', async () => {
  const page = await openPhone();
  const bodies = [];
  await page.route('**/questionnaire-responses/*', async (route) => {
    bodies.push(route.request().postData());
    if (bodies.length > 1) return route.continue();
    await route.fetch();
    return route.abort('connectionreset');
  });
  const patient = await start(page, { instrument: 'gad-2 1' });
  await answer(page, [1, 2]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#tryNow:visible');
  assert.equal((await kept(page)).length, 1);
  await page.waitForSelector('#sentVerified:visible'); // by itself
  assert.equal(bodies.length, 2);
  assert.equal(bodies[0], bodies[1]);
  assert.equal((await responsesOf(page, patient)).length, 1);
  await close(page);
});

test('the crisis text comes at once, and stays until it was read', async () => {
  const page = await openPhone();
  await start(page);
  await answer(page, [3, 3, 3, 3, 3, 3, 3, 3, 1, 2]);
  assert.equal(await said(page, '#checkSummary'), 'You have answered all questions.');
  await page.tap('#sendAnswers');
  await page.waitForSelector('#crisis:visible');
  assert.match(await said(page, '#crisisText'), /0800 123 456/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'crisisHeading');
  assert.ok(await page.evaluate(() => document.getElementById('crisis').getBoundingClientRect().top < innerHeight / 3));
  await page.waitForSelector('#sentVerified:visible');
  await check(page, 'crisis-en');
  const [left] = await kept(page);
  assert.deepEqual(Object.keys(left).sort(), ['crisis', 'id', 'state']); // the answers are gone
  await page.reload();
  await page.waitForSelector('#crisis:visible');
  await page.tap('#crisisRead');
  await page.waitForSelector('#crisis', { state: 'hidden' });
  assert.deepEqual(await kept(page), []);
  await close(page);
});

test('a questionnaire that was begun is there again after a reload, offline too', async () => {
  const page = await openPhone();
  await page.waitForFunction(() => document.getElementById('offlineHint').textContent === 'This page also opens without a connection.');
  const patient = await start(page, { instrument: 'daily-pain 1' });
  await answer(page, [2]);
  await page.tap('.option:has(input[value="1"])');
  for (let tries = 0; Object.keys((await kept(page))[0].answers).length < 2; tries++) assert.ok(tries < 1000); // it is kept a moment after the tap
  await page.context().setOffline(true);
  await page.reload();
  await page.waitForSelector('#fill:visible');
  assert.equal(await said(page, '#where'), 'Question 2 of 3');
  assert.ok(await page.isChecked('.option input[value="1"]'));
  await page.tap('#leave');
  await page.waitForSelector('#kept:visible');
  assert.match(await said(page, '#keptList'), new RegExp(patient));
  await page.fill('#study', 'BT');
  await page.locator('#study').dispatchEvent('change');
  await page.waitForFunction(() => document.querySelectorAll('#questionnaire option').length > 5); // kept, too
  await check(page, 'kept-en');
  await page.tap('#keptList a');
  await at(page, 2);
  await answer(page, [1, 0]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="held"]');
  await page.reload();
  await page.waitForSelector('#sent[data-mark="held"]');
  await page.tap('#sentAnswers summary');
  assert.match(await said(page, '#sentList'), /Moderate[^]*A little[^]*None/);
  await page.context().setOffline(false);
  await page.waitForSelector('#sentVerified:visible');
  assert.equal((await responsesOf(page, patient)).length, 1);
  await close(page);
});

test('what is without an answer can be answered, and is asked about once', async () => {
  const page = await openPhone();
  const patient = await start(page, { instrument: 'daily-pain 1' });
  await answer(page, [null, 1, null]);
  assert.equal(await said(page, '#checkSummary'), '2 questions have no answer. Do you want to answer them?');
  assert.equal(await said(page, '#sendAnswers'), 'Send without these 2 answers');
  await page.tap('#answerMissing');
  await at(page, 1);
  await page.tap('.option:has(input[value="0"])');
  await page.tap('#next');
  await at(page, 3);
  await page.tap('#next');
  await page.waitForSelector('#check:visible');
  await page.tap('#checkList li:nth-child(2) a');
  await at(page, 2);
  await page.tap('#clear');
  await page.tap('.option:has(input[value="3"])');
  await page.tap('#next');
  await at(page, 3);
  await page.tap('#back');
  await page.waitForSelector('#check:visible');
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  const [response] = await responsesOf(page, patient);
  assert.deepEqual(response.answers, { 1: 0, 2: 3 });
  await close(page);
});

test('the keyboard alone is enough, and a screen reader hears where it is', async () => {
  const page = await open(browser, { at: new URL('questionnaires.html#study=BT&visit=V07&instrument=daily-pain', base).href, within: base });
  await page.waitForFunction(() => document.getElementById('questionnaire').value === 'daily-pain 1');
  await page.focus('#patientId');
  const patient = newPatient();
  await page.keyboard.type(patient);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#fill:visible');
  for (const [n, downs] of [[1, 1], [2, 2], [3, 0]]) {
    await at(page, n);
    const group = page.getByRole('radiogroup');
    assert.match(await group.evaluate((f) => document.getElementById(f.getAttribute('aria-labelledby')).textContent), new RegExp(`^Question ${n} of 3\\. How`));
    assert.equal(await page.evaluate(() => document.activeElement.id), 'questionText');
    await page.keyboard.press('Tab');
    await page.keyboard.press(' ');
    for (let i = 0; i < downs; i++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
  }
  await page.waitForSelector('#check:visible');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'checkHeading');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#sentVerified:visible');
  assert.match(await page.locator('#live').textContent(), /Thank you/);
  const [response] = await responsesOf(page, patient);
  assert.deepEqual(response.answers, { 1: 1, 2: 2, 3: 0 });
  assert.equal(response.visitId, 'V07');
  await close(page);
});

test('the patient reads Chinese where the questions are there in it, and is told where not', async () => {
  const page = await openPhone({ locale: 'zh-CN' });
  await page.fill('#study', 'BT');
  await page.locator('#study').dispatchEvent('change');
  await page.waitForFunction(() => [...document.querySelectorAll('#questionnaire option')].some((o) => o.value === 'daily-pain 1'));
  await page.selectOption('#questionnaire', 'phq-9 1');
  assert.match(await said(page, '#questionnaireHint'), /题目只有以下语言：英语/);
  await check(page, 'start-zh');
  const patient = await start(page, { instrument: 'daily-pain 1' });
  await check(page, 'question-zh');
  assert.equal(await said(page, '#where'), '第 1 题，共 3 题');
  assert.match(await said(page, '#questionText'), /疼痛最严重时有多强烈？/);
  await answer(page, [3, 2, 1]);
  await check(page, 'check-zh');
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  await check(page, 'stored-zh');
  const [response] = await responsesOf(page, patient);
  assert.equal(response.language, 'zh-CN');
  assert.equal(response.flags[0].code, 'pain-strong');
  await page.tap('#another');
  await start(page);
  assert.equal(await page.getAttribute('#question', 'lang'), 'en');
  await answer(page, [0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
  const sent = page.waitForRequest((r) => r.method() === 'PUT');
  await page.tap('#sendAnswers');
  assert.equal((await sent).headers()['accept-language'], 'zh-CN');    // the crisis text follows it
  await page.waitForSelector('#crisis:visible');
  await check(page, 'crisis-zh');
  await close(page);
});

test('a questionnaire without wording says so, and asks for the number on paper', async () => {
  const page = await openPhone();
  const patient = await start(page, { instrument: 'who-5 1' });
  assert.match(await said(page, '#instruction'), /on paper/);
  assert.match(await said(page, '#questionText'), /Question 1 on paper/);
  await check(page, 'paper-en');
  await answer(page, [5, 4, 3, 2, 1]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  assert.deepEqual((await responsesOf(page, patient))[0].answers, { 1: 5, 2: 4, 3: 3, 4: 2, 5: 1 });
  await close(page);
});

test('start is not forgotten while the questionnaires of another study are still being read', async () => {
  const page = await open(browser, { ...phone, at: 'about:blank', within: base });
  let releaseFormer;
  let releaseChosen;
  const former = new Promise((resolve) => { releaseFormer = resolve; });
  const chosen = new Promise((resolve) => { releaseChosen = resolve; });
  await page.route('**/instruments/*', async (route) => {
    await (new URL(route.request().url()).searchParams.get('study') ? chosen : former);
    await route.continue();
  });
  await page.goto(new URL('questionnaires.html', base).href);
  await page.waitForFunction(() => document.querySelectorAll('#questionnaire option').length > 1);
  await page.evaluate(() => document.getElementById('startForm').addEventListener('submit', () => { window.pressed = true; }));
  const started = start(page, { instrument: 'who-5 1' });
  await page.waitForFunction(() => window.pressed);
  releaseFormer();
  // Without the mend this comes once the former list is read to its end.
  await page.waitForSelector('#questionnaire-error:visible', { timeout: 2000 }).catch(() => {});
  assert.ok(await page.isHidden('#questionnaire-error'));
  releaseChosen();
  await started;
  await close(page);
});

test('what the server refuses stays on the phone', async () => {
  const page = await openPhone();
  let refuse = true;
  await page.route('**/questionnaire-responses/*', (route) => (refuse ? route.fulfill({
    status: 400, contentType: 'application/problem+json',
    body: JSON.stringify({ title: 'Bad', status: 400, code: 'invalid-input', detail: 'See errors.', stored: false, retryable: false, errors: [{ field: '/version', detail: 'the study has gad-2 in version "2", not in "1"' }] }),
  }) : route.continue()));
  const patient = await start(page, { instrument: 'gad-2 1' });
  await answer(page, [0, 1]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="bad"]');
  assert.match(await said(page, '#sentState'), /Please tell the study team/);
  assert.match(await said(page, '#sentDetail'), /version "2"/);
  assert.ok(await page.isHidden('#tryNow'));
  await check(page, 'refused-en');
  await page.reload();
  await page.waitForSelector('#sent[data-mark="bad"]');
  assert.equal(await page.inputValue('#correctStudy'), 'BT');
  const before = (await kept(page))[0];
  await page.fill('#correctSite', '1 2');
  await page.tap('#sendCorrected');
  await page.waitForSelector('#correct-error:visible');
  refuse = false;
  await page.fill('#correctSite', '102');
  await page.tap('#sendCorrected');
  await page.waitForSelector('#sentVerified:visible');
  const [response, ...more] = await responsesOf(page, patient);
  assert.deepEqual([response.site, response.id, response.answers, more], ['102', before.id, before.answers, []]);
  assert.equal(Date.parse(response.times.authored), Date.parse(before.authored));
  await close(page);
});

test('answers that were refused are sent again as their own patient\'s, whichever are open meanwhile', async () => {
  const page = await openPhone();
  let refuse = true;
  await page.route('**/questionnaire-responses/*', (route) => (refuse ? route.fulfill({
    status: 400, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Bad', status: 400, code: 'invalid-input', detail: 'See errors.', stored: false, retryable: false }),
  }) : route.continue()));
  const patients = [], places = [];
  for (const values of [[0, 1], [2, 3]]) {
    await page.goto(new URL('questionnaires.html#', base).href);
    await page.waitForSelector('#startForm:visible');
    patients.push(await start(page, { instrument: 'gad-2 1' }));
    await answer(page, values);
    await page.tap('#sendAnswers');
    await page.waitForSelector('#sent[data-mark="bad"]');
    places.push(new URL(page.url()).hash);
  }
  const [first, second] = places;
  const show = async (hash) => {
    await page.evaluate((to) => { location.hash = to; }, hash);
    await page.waitForFunction((id) => document.getElementById('correct').dataset.of === id && !document.getElementById('correct').hidden, hash.slice(2));
  };
  let held;
  const asked = new Promise((resolve) => { held = resolve; });
  await page.route('**/trial-progress?*', (route) => held(route));
  await show(first);
  refuse = false;
  await page.fill('#correctSite', '102');
  await page.tap('#sendCorrected');
  const route = await asked;
  await show(second);
  assert.equal(await page.inputValue('#correctSite'), '', 'what was typed for one is not for the other');
  await route.continue();
  await page.waitForFunction(() => !document.getElementById('sendCorrected').disabled);
  for (const patient of patients) assert.deepEqual(await responsesOf(page, patient), []);
  assert.deepEqual((await kept(page)).map(({ state }) => state), ['refused', 'refused']);
  await page.unroute('**/trial-progress?*');
  await show(first);
  await page.fill('#correctSite', '102');
  await page.tap('#sendCorrected');
  await page.waitForSelector('#sentVerified:visible');
  assert.deepEqual((await responsesOf(page, patients[0])).map(({ site, answers }) => [site, answers]), [['102', { 1: 0, 2: 1 }]]);
  assert.deepEqual(await responsesOf(page, patients[1]), []);
  await close(page);
});

for (const [locale, words] of [['en-GB', /BT has no site 999\. The link .* wrong\. Please tell the study team/], ['zh-CN', /BT 没有研究中心 999。.*链接有误。请告知给您链接的研究团队/]]) {
  test(`a link to a site that the study does not have says so before the first question (${locale})`, async () => {
    const page = await openPhone({ locale });
    await page.route('**/instruments?*site=999*', (route) => route.fulfill({
      status: 400, contentType: 'application/problem+json',
      body: JSON.stringify({ title: 'Bad', status: 400, code: 'invalid-input', detail: 'See errors.', errors: [{ field: 'site', detail: 'the study has no such site' }] }),
    }));
    await page.route('**/instruments?*site=102*', (route) => route.continue({ url: route.request().url().replace('&site=102', '') }));
    await page.goto(new URL('questionnaires.html#study=BT&site=999&visit=V02&instrument=phq-9', base).href);
    await page.reload();
    await page.waitForSelector('#site-error:visible');
    assert.match(await said(page, '#site-error'), words);
    await check(page, `wrong-link-${locale}`);
    await page.fill('#patientId', newPatient());
    await page.tap('#startForm button[type=submit]');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'site');
    await page.fill('#site', '102');
    await page.tap('#startForm button[type=submit]');     // leaves the field, and the list is read once more
    await page.waitForSelector('#fill:visible');
    await close(page);
  });
}

for (const [locale, words, urgent] of [
  ['en-GB', /^The server knows no study bt\. Capital and small letters matter\. Correct it/, [/^If you are in danger/, /^如果您有危险/]],
  ['zh-CN', /^服务器上没有研究 bt（区分大小写）。请改正/, [/^如果您有危险/, /^If you are in danger/]],
]) {
  test(`a study that the server does not know is said before the first question, and no urgent answer is passed over (${locale})`, async () => {
    const page = await openPhone({ locale });
    await page.fill('#study', 'bt');
    await page.locator('#study').dispatchEvent('change');
    await page.waitForSelector('#study-error:visible');
    assert.match(await said(page, '#study-error'), words);
    await page.fill('#patientId', newPatient());
    await page.tap('#startForm button[type=submit]');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'study');
    assert.equal(await page.locator('#fill').isVisible(), false);
    await check(page, `unknown-study-${locale}`);

    await page.route('**/trial-progress?*', (route) => route.abort());     // it cannot be checked, as without a connection
    await page.reload();
    const patient = await start(page, { study: 'bt' });
    await answer(page, [0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    await page.route('**/questionnaire-responses/*', (route) => route.abort());
    await page.tap('#sendAnswers');
    await page.waitForSelector('#sentSafety:visible');
    assert.match(await said(page, '#sentSafety'), locale === 'en-GB' ? /^Nobody has read .* If you are in danger/ : /^目前还没有人看到.*如果您有危险/);
    await check(page, `unread-${locale}`);
    await page.unroute('**/questionnaire-responses/*');
    await page.tap('#tryNow');
    await page.waitForSelector('#crisis:visible');
    const texts = await page.locator('#crisisText p').allInnerTexts();
    assert.equal(texts.length, 2);
    texts.forEach((text, i) => assert.match(text, urgent[i]));
    await page.waitForSelector('#sentVerified:visible');
    assert.match(await said(page, '#sentDetail'), locale === 'en-GB' ? /does not know the study/ : /没有这些回答所属的研究/);
    assert.equal(await page.locator('#sentSafety').isVisible(), false);
    await check(page, `crisis-general-${locale}`);
    await page.reload();
    await page.waitForSelector('#crisis:visible');     // until it was read
    const [response] = await responsesOf(page, patient);
    assert.deepEqual([response.study, response.crisisText], ['bt', null]);
    await close(page);
  });
}

test('a server without files of studies takes a named study, and an urgent answer still gets the words of the page', async () => {
  const page = await openPhone();
  await page.fill('#study', 'NOFILE');
  await page.locator('#study').dispatchEvent('change');
  await page.waitForSelector('#study-error:visible');
  const patient = newPatient();
  await page.fill('#patientId', patient);
  await page.waitForFunction(() => [...document.querySelectorAll('#questionnaire option')].some((o) => o.value === 'phq-9 1'));
  await page.selectOption('#questionnaire', 'phq-9 1');
  await page.tap('#startForm button[type=submit]');
  await page.waitForFunction(() => document.activeElement.id === 'study');
  assert.equal(await page.locator('#fill').isVisible(), false, 'it is said before the first question');
  assert.match(await said(page, '#study-error'), /To begin without a crisis text of the study, press start again\.$/);
  await page.tap('#startForm button[type=submit]');
  await page.waitForSelector('#fill:visible');
  await answer(page, [0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#crisis:visible');
  assert.match(await said(page, '#crisisText'), /^If you are in danger/);
  await page.tap('#crisisRead');
  const [response] = await responsesOf(page, patient);
  assert.deepEqual([response.study, response.crisisText], ['NOFILE', null]);
  await close(page);
});

test('the copy stays if the receipt is not of the same bytes', async () => {
  const page = await openPhone();
  await page.route('**/questionnaire-responses/*', async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    body.receipt.sha256 = '0'.repeat(64);
    await route.fulfill({ response, json: body });
  });
  await start(page, { instrument: 'gad-2 1' });
  await answer(page, [0, 1]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="bad"]');
  assert.match(await said(page, '#sentState'), /stored something else/);
  const [record] = await kept(page);
  assert.equal(record.state, 'differs');
  assert.deepEqual(record.answers, { 1: 0, 2: 1 });
  await close(page);
});

test('two pages that have the same questionnaire open store it once', async () => {
  const page = await openPhone();
  const patient = await start(page, { instrument: 'gad-2 1' });
  await answer(page, [1, 2]);
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.waitForSelector('#check:visible');
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  await other.tap('#sendAnswers');
  await other.waitForFunction(() => document.getElementById('sentState').textContent === 'Nothing of this is on this device any more.');
  const [response, ...more] = await responsesOf(page, patient);
  assert.deepEqual([response.answers, response.revision, more], [{ 1: 1, 2: 2 }, 1, []]);
  assert.deepEqual(await kept(page), []);
  await close(page);
});

test('a browser that keeps nothing says so, and the answers still arrive', async () => {
  const page = await openPhone();
  await page.addInitScript(() => { Object.defineProperty(globalThis, 'indexedDB', { value: { open() { throw new Error('not allowed'); } } }); });
  await page.reload();
  await page.waitForSelector('#notKept:visible');
  const patient = await start(page, { instrument: 'daily-pain 1' });
  await answer(page, [1, null, 2]);
  await page.tap('#checkList li:nth-child(2) a');
  await page.tap('.option:has(input[value="3"])');
  await page.tap('#next');
  await page.waitForSelector('#check:visible');
  await page.context().setOffline(true);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="held"]');
  await check(page, 'not-kept-en');
  await page.context().setOffline(false);
  await page.waitForSelector('#sentVerified:visible');
  assert.deepEqual((await responsesOf(page, patient)).map((r) => r.answers), [{ 1: 1, 2: 3, 3: 2 }]);
  await close(page);
});

test('answers that the browser loses before they are sent arrive all the same', async () => {
  const page = await openPhone();
  const patient = await start(page, { instrument: 'gad-2 1' });
  await answer(page, [1, 2]);
  await page.evaluate(() => { IDBObjectStore.prototype.get = () => { throw new Error('lost'); }; });
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  assert.deepEqual((await responsesOf(page, patient)).map(({ answers }) => answers), [{ 1: 1, 2: 2 }]);
  await close(page);
});

test('by plain http everything works but opening it again offline, which the page says', async () => {
  const page = await openPhone({ at: plain });
  assert.match(await said(page, '#offlineHint'), /stays open/);
  const patient = await start(page, { instrument: 'gad-2 1' });
  await page.context().setOffline(true);
  await answer(page, [3, 3]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="held"]');
  await page.tap('#another');
  await start(page, { patient, instrument: 'phq-2 1' }); // not asked for before the connection went
  await answer(page, [0, 0]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sent[data-mark="held"]');
  await page.context().setOffline(false);
  await page.waitForSelector('#sentVerified:visible');
  for (let i = 0; (await kept(page)).length && i < 600; i++) await page.waitForTimeout(100);
  assert.equal((await responsesOf(page, patient)).length, 2);
  await close(page);
});

test('nothing of a patient is in an address or in what is logged', async () => {
  const page = await openPhone();
  const seen = [];
  page.on('framenavigated', (f) => seen.push(f.url()));
  page.on('request', (r) => seen.push(r.url()));
  page.on('console', (m) => seen.push(m.text()));
  const patient = await start(page, { instrument: 'gad-2 1', visit: 'VISIT-9' });
  await answer(page, [3, null]);
  await page.tap('#sendAnswers');
  await page.waitForSelector('#sentVerified:visible');
  seen.push(page.url());
  assert.ok(!seen.some((text) => text.includes(patient) || text.includes('VISIT-9') || /answers/.test(text)), seen.join('\n'));
  await close(page);
});

// Responses of one patient over some weeks, as an app would send them.
async function history(page, patient, { study = 'BT', instrument = 'phq-9', days = [56, 42, 28, 14, 1] } = {}) {
  const values = [[3, 3, 3, 2, 2, 3, 3, 2, 1], [2, 2, 2, 2, 1, 2, 2, 2, 0], [1, 2, null, null, null, 1, 2, 1, 0], [1, 1, 1, 1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, null, 0, 0, 0]];
  const ids = [];
  for (const [i, day] of days.entries()) {
    const id = `${patient}-${study}-${i}`;
    ids.push(id);
    const answers = Object.fromEntries(values[i].map((v, k) => [String(k + 1), v]));
    const authored = new Date(Date.now() - day * 86_400_000).toISOString();
    const response = await page.request.put(new URL(`questionnaire-responses/${id}`, base).href, { data: {
      ...(study ? { study } : {}), instrument, version: '1', patientId: patient, visitId: `V0${i + 1}`, language: 'en', authored, answers, ...(i === 0 ? { scores: { total: 13 } } : {}),
    } });
    assert.equal(response.status(), 201, await response.text());
    await stored(page, id);
  }
  return ids;
}

for (const [locale, suffix] of [['en-GB', 'en'], ['zh-CN', 'zh']]) {
  test(`staff see scores with their rule, flags, mismatches and the course of time (${suffix})`, async () => {
    const page = await openStaff({ locale });
    const patient = newPatient();
    const ids = await history(page, patient);
    await history(page, patient, { study: 'OTHER', days: [3] }); // another patient with the same ID
    await page.fill('#searchPatient', patient);
    await page.fill('#searchStudy', 'BT');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('#found > li').length === 5);
    await page.waitForSelector('#listPlot svg.plot .point');
    await check(page, `list-${suffix}`);
    await page.click('#found > li:last-child a');
    await page.waitForSelector('#responsePlot svg.plot .point.here');
    const text = await said(page, '#response');
    const response = await stored(page, ids[0]);
    assert.match(text, /22/);
    assert.ok(text.includes(response.scores[0].rule.sha256.slice(0, 12)));
    assert.match(text, suffix === 'en' ? /severe/ : /重度/);
    assert.match(text, suffix === 'en' ? /Total: the client says 13, computed here 22/ : /总分：客户端为 13，此处计算为 22/);
    assert.match(text, suffix === 'en' ? /Flag raised: Thoughts of being better off dead.*urgent/ : /触发警示: 有不如死去.*紧急/);
    assert.match(text, suffix === 'en' ? /more than|later than the study expects/ : /晚于研究的预期/);
    assert.ok(text.includes(response.crisisText));
    assert.equal(await page.locator('#responsePlot svg .point').count(), 4, 'the third has no score, and the other study is another patient');
    assert.equal(await page.locator('#responsePlot tbody tr').count(), 5);
    assert.equal(await page.locator('#responsePlot svg').getAttribute('role'), 'img');
    assert.ok(!page.url().includes(`=${patient}`));
    await check(page, `response-${suffix}`);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForFunction(() => document.querySelector('#responsePlot svg').viewBox.baseVal.width < 390);
    await check(page, `response-phone-${suffix}`);
    await page.goto(new URL(`responses.html#/${ids[2]}`, base).href);
    await page.waitForFunction((words) => document.getElementById('response').innerText.includes(words) && document.querySelector('.point'), suffix === 'en' ? '3 of 9 answers are missing' : '缺少 3 / 9 个回答');
    const [ofNone] = await history(page, patient, { study: '', days: [2] });
    await page.goto(new URL(`responses.html#/${ofNone}`, base).href);
    await page.waitForSelector('#responsePlot .point.here');
    assert.equal(await page.locator('#responsePlot tbody tr').count(), 1, 'the same ID without a study is another patient, too');
    await page.goto(new URL('responses.html#/no-such-response', base).href);
    await page.waitForFunction((words) => document.getElementById('responseState').textContent === words, suffix === 'en' ? 'This server does not know these answers.' : '服务器上没有这份回答。');
    await close(page);
  });
}

for (const [locale, suffix] of [['en-GB', 'en'], ['zh-CN', 'zh']]) {
  test(`an urgent item without an answer does not look well in the list, and a score that counts it is marked (${suffix})`, async () => {
    const page = await openStaff({ ...phone, locale });
    const patient = newPatient();
    for (const [i, answers] of [[3, 3, 3, 3, 3, 3, 3, 3, null], [0, 0, 0, 0, 0, 0, 0, 0, 0]].entries()) {
      const response = await page.request.put(new URL(`questionnaire-responses/${patient}-${i}`, base).href, { data: {
        study: 'BT', instrument: 'phq-9', version: '1', patientId: patient, language: 'en', authored: new Date(Date.now() - i * 86_400_000).toISOString(),
        answers: Object.fromEntries(answers.map((v, k) => [String(k + 1), v])),
      } });
      assert.equal(response.status(), 201, await response.text());
      await stored(page, `${patient}-${i}`);
    }
    await page.fill('#searchPatient', patient);
    await page.click('#search button[type=submit]');
    await page.waitForFunction(() => document.querySelectorAll('#found > li').length === 2 && document.querySelector('.point'));
    const [gap, whole] = [0, 1].map((n) => page.locator(`#found > li:has(a[href="#/${patient}-${n}"])`));
    const words = { en: ['urgent item not answered', 'Completed', /Total 27 \(severe\) · 1 of 9 counted without an answer/], zh: ['紧急题目未回答', '已完成', /总分 27 \(重度\) · 9 题中 1 题未回答但计入/] }[suffix];
    const badges = (row) => row.locator('.badge').evaluateAll((nodes) => nodes.map((n) => [n.textContent, n.dataset.status]));
    await gap.filter({ hasText: words[2] }).waitFor();   // the names come with the definition
    assert.deepEqual(await badges(gap), [[words[0], 'problems']]);
    assert.deepEqual(await badges(whole), [[words[1], 'completed']]);
    assert.doesNotMatch(await whole.innerText(), /·[^\n]*(counted|计入)/);
    await check(page, `list-gap-phone-${suffix}`);
    await close(page);
  });

  test(`why there is no score is said once, in the language of the page (${suffix})`, async () => {
    const page = await openStaff({ locale });
    const patient = newPatient();
    for (const [id, answers, words] of [
      [`${patient}-most`, { 1: 1 }, { en: 'No score: 8 of 9 answers are missing.', zh: '无法计分：缺少 8 / 9 个回答。' }],
      [`${patient}-all`, { difficulty: 1 }, { en: 'No score: no question of this score was answered.', zh: '无法计分：该得分所含的题目均未回答。' }],
    ]) {
      const response = await page.request.put(new URL(`questionnaire-responses/${id}`, base).href, { data: {
        study: 'BT', instrument: 'phq-9', version: '1', patientId: patient, language: 'en', authored: new Date().toISOString(), answers,
      } });
      assert.equal(response.status(), 201, await response.text());
      await stored(page, id);
      await page.goto(new URL(`responses.html#/${id}`, base).href);
      await page.waitForFunction((one) => document.getElementById('response').innerText.includes(one), words[suffix]);
      assert.deepEqual(await page.locator('#responseBody tbody th small').allInnerTexts(), [words[suffix], words[suffix]], 'of the total and of the algorithm');
    }
    await close(page);
  });
}

test('a status that the server will not hold is asked for again when the server says so', async () => {
  const page = await openStaff();
  const id = `QR-${Date.now()}-ra`;
  const put = await page.request.put(new URL(`questionnaire-responses/${id}`, base).href, { data: {
    study: 'BT', instrument: 'gad-2', version: '1', patientId: newPatient(), language: 'en', authored: new Date().toISOString(), answers: { 1: 0, 2: 0 },
  } });
  assert.equal(put.status(), 201, await put.text());
  const answered = await stored(page, id);
  const asked = [];
  await page.route(`**/questionnaire-responses/${id}**`, async (route) => {
    asked.push(new URL(route.request().url()).searchParams.get('wait'));
    if (asked.length === 2) return route.fulfill({ status: 429, headers: { 'Retry-After': '60' }, contentType: 'application/problem+json', body: '{}' });
    return route.fulfill({ json: { ...answered, status: 'accepted', scores: [] }, headers: { ETag: '"1"' } });
  });
  await page.clock.install();
  await page.reload();
  await page.evaluate((to) => { location.hash = to; }, `#/${id}/1`);
  await page.waitForFunction(() => document.getElementById('responseBody').childElementCount > 0);
  for (let ms = 0; asked.length < 2 && ms < 60; ms++) { await page.clock.runFor(500); await new Promise((resolve) => { setTimeout(resolve, 50); }); }
  assert.deepEqual(asked, [null, '20s']);
  await page.waitForFunction(() => document.getElementById('responseState').textContent !== '');   // that the server did not answer
  await page.clock.runFor(50_000);
  assert.equal(asked.length, 2, 'it is not asked before');
  await page.clock.runFor(15_000);
  for (let i = 0; asked.length < 3 && i < 100; i++) await new Promise((resolve) => { setTimeout(resolve, 50); });
  assert.equal(asked.length, 3);
  await close(page);
});

test('staff see an amendment with its reason, and what it took the place of', async () => {
  const page = await openStaff();
  const [id] = await history(page, newPatient(), { days: [2] });
  const { patientId, visitId, times, adverseEvents } = await stored(page, id);
  assert.equal(adverseEvents.length, 1);
  const amended = await page.request.put(new URL(`questionnaire-responses/${id}`, base).href, { data: {
    study: 'BT', instrument: 'phq-9', version: '1', patientId, visitId, language: 'en', authored: times.authored,
    answers: { 1: 1, 2: null, 9: 0 }, amends: { revision: 1, reason: 'The patient slipped.' },
  } });
  assert.equal(amended.status(), 201, await amended.text());
  await stored(page, id);
  // The adverse event of revision 1 is open still, and the amendment does not raise its flag.
  const withEarlier = (one) => (one.id === id ? { ...one, adverseEvents: [...new Set([...adverseEvents, ...one.adverseEvents])] } : one);
  await page.route(/\/questionnaire-responses[/?]/, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    await route.fulfill({ response, json: body.items ? { ...body, items: body.items.map(withEarlier) } : withEarlier(body) });
  });
  await page.fill('#searchPatient', patientId);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#found > li').length === 1 && document.querySelector('#found .badge')?.textContent === 'urgent: 1 open');
  await page.goto(new URL(`responses.html#/${id}`, base).href);
  await page.getByRole('heading', { name: 'Adverse events (urgent: 1 open)' }).waitFor();
  assert.match(await said(page, '#responseBody'), /Open: Thoughts of being better off dead.*\(revision 1\)/);
  assert.equal(await page.locator('.eventLink').getAttribute('href'), `desk.html#/${adverseEvents[0]}`);
  await check(page, 'amended-en');
  await page.waitForFunction(() => /2, in place of 1: The patient slipped\./.test(document.getElementById('response').innerText));
  assert.match(await said(page, '#response'), /No score: 7 of 9 answers are missing/);
  await page.getByRole('link', { name: 'Show revision 1' }).click();
  await page.waitForFunction(() => /22\s+severe/.test(document.querySelector('#responseBody table')?.innerText ?? ''));
  await close(page);
});

test('what a changed rule makes of the answers stands beside the scores', async () => {
  const page = await openStaff();
  const [id] = await history(page, newPatient(), { days: [2] });
  await page.route(`**/questionnaire-responses/${id}`, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    const rule = { id: 'phq-9', version: '2', sha256: 'f'.repeat(64) };
    body.rescores.push({ madeAt: '2026-11-27T02:00:00Z', rule, scores: [{ ...body.scores[0], value: 17, exact: '17', band: 'moderately-severe', rule }], mismatches: [] });
    await route.fulfill({ response, json: body });
  });
  await page.route('**/instruments/phq-9?version=2&study=BT', async (route) => {
    const response = await page.request.get(new URL('instruments/phq-9?version=1', base).href);
    const body = await response.json();
    body.scores[0].bands.find(({ code }) => code === 'moderately-severe').text = { en: 'rather severe' };
    await route.fulfill({ response, json: { ...body, version: '2' } });
  });
  await page.goto(new URL(`responses.html#/${id}`, base).href);
  await page.getByRole('heading', { name: /^Scored again on 27 Nov 2026/ }).waitFor();
  const scores = page.locator('#responseBody .block', { has: page.locator('h2', { hasText: /^Scores$/ }) });
  const tables = scores.locator('table');
  assert.match(await tables.nth(0).innerText(), /22\s+severe/);
  assert.match(await tables.nth(1).innerText(), /17\s+rather severe/);
  assert.match(await scores.innerText(), /17\s+rather severe[^]*ffffffffffff/);
  await check(page, 'rescored-en');
  await close(page);
});

test('dark, and at twice the size of text, nothing is lost', async () => {
  const page = await openPhone({ colorScheme: 'dark', viewport: { width: 320, height: 640 } });
  await start(page);
  await page.tap('.option:has(input[value="2"])');
  await check(page, 'question-dark');
  await page.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
  await check(page, 'question-large');
  await close(page);
});
