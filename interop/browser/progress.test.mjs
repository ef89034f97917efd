// What the page of trial progress promises, tried in a real browser against a running casepress that
// has the studies of the folder studies.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { base, phone, launch, open, close, check, said } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const run = `${Date.now().toString(36)}`;
const patient = (n) => `TP-${run}-${String(n).padStart(2, '0')}`;
const daysAgo = (n) => new Date(Date.now() - n * 86_400_000).toISOString();

/** What check wants, and on any screen, in the grid too, no button that is smaller than a finger. */
async function checkGrid(page, name) {
  const small = await page.locator('main button:visible').evaluateAll((nodes) => nodes.map((n) => [n.outerHTML.slice(0, 80), n.getBoundingClientRect().height]).filter(([, height]) => height < 43.9));
  assert.deepEqual(small, [], name);
  await check(page, name);
}

let sent = 0;

/** Hands in answers to a visit. */
async function answers(page, { patientId, visitId, instrument = 'phq-9', site = '101', authored }) {
  const items = instrument === 'phq-9' ? 9 : 7;
  const id = `${patientId}-${sent++}`;
  const response = await page.request.post(new URL('questionnaire-responses', base).href, {
    data: {
      id, study: 'TP', site, instrument, version: '1', patientId, visitId, language: 'en', authored,
      answers: Object.fromEntries(Array.from({ length: items }, (_, i) => [String(i + 1), 0])),
    },
  });
  assert.equal(response.status(), 201, await response.text());
  return id;
}

/** Waits until everything that was handed in is shown to whoever asks. */
async function caughtUp(page, query, patients) {
  for (;;) {
    const answer = await (await page.request.get(new URL(`trial-progress?${query}`, base).href)).json();
    if (answer.behind === 0 && answer.patients.length >= patients) return answer;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

const find = async (page, { study = 'TP', site = '', patientId = '' } = {}) => {
  await page.fill('#searchStudy', study);
  await page.fill('#searchSite', site);
  await page.fill('#searchPatient', patientId);
  const answered = page.waitForResponse((r) => r.url().includes('trial-progress?'));
  await page.click('#search button[type=submit]');
  await answered;
};

const openPage = (options = {}) => open(browser, { ...options, at: new URL('progress.html', base).href, within: base });
const visits = { Baseline: 'V01', 'Week 1': 'V02', 'Week 4': 'V03' };
const cellOf = (page, patientId, visit) => page.locator(`button[data-key="${patientId} ${visits[visit] ?? visit}"]`);

test('a grid of patients and visits shows what is late, in words too, and what came', async () => {
  const page = await openPage();
  const [late, well, fresh] = [patient(1), patient(2), patient(3)];
  await answers(page, { patientId: late, visitId: 'V01', authored: daysAgo(20) });
  const inTime = await answers(page, { patientId: late, visitId: 'V02', authored: daysAgo(13) });
  await answers(page, { patientId: late, visitId: 'V77', authored: daysAgo(12) });
  await answers(page, { patientId: well, visitId: 'V01', site: '102', authored: daysAgo(6) });
  await answers(page, { patientId: well, visitId: 'V02', site: '102', authored: daysAgo(0) });
  await answers(page, { patientId: well, visitId: 'V02', site: '102', instrument: 'gad-7', authored: daysAgo(0) });
  await answers(page, { patientId: fresh, visitId: 'V01', authored: daysAgo(0) });
  await caughtUp(page, `study=TP&patientId=${fresh}`, 1);
  await find(page);
  await cellOf(page, fresh, 'Baseline').waitFor();

  assert.match(await cellOf(page, late, 'Week 1').textContent(), new RegExp(`Patient ${late}, Week 1:`));
  assert.match(await cellOf(page, late, 'Week 1').innerText(), /^!/);
  assert.match(await cellOf(page, late, 'Week 1').innerText(), /Late: 1 missing\s*1 of 2/);
  assert.match(await cellOf(page, well, 'Week 1').innerText(), /✓[^]*Complete/);
  assert.match(await cellOf(page, fresh, 'Week 1').innerText(), /Expected/);
  assert.match(await said(page, '#figures'), /Huashan Hospital, Shanghai/);
  assert.match(await said(page, '#grid thead'), /Week 4\s*Day 29/);
  await checkGrid(page, 'progress-grid');

  await cellOf(page, late, 'Week 1').click();
  await page.waitForSelector('#detail:visible');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'detailHeading');
  assert.match(await said(page, '#detail'), /Planned for .*GAD-7.*Missing/s);
  await checkGrid(page, 'progress-detail');
  await page.click(`#detail a:has-text("${inTime}")`);
  await page.waitForURL(/responses\.html#/);
  await page.waitForSelector('#response:visible');
  await page.goBack();
  await find(page);
  await cellOf(page, late, 'V77').click();
  await page.waitForSelector('#detail:visible');
  assert.match(await said(page, '#detail'), /Not in the study’s plan/);
  await page.click('#closeDetail');
  assert.match(await page.evaluate(() => document.activeElement.textContent), /V77/, 'the focus goes back to the cell');

  await page.click('#language');
  assert.match(await said(page, '#grid'), /逾期：缺 1 项/);
  await checkGrid(page, 'progress-chinese');
  await close(page);
});

test('study, site and patient are filters, and a wrong one is told', async () => {
  const page = await openPage();
  await answers(page, { patientId: patient(4), visitId: 'V01', site: '102', authored: daysAgo(1) });
  await caughtUp(page, `study=TP&patientId=${patient(4)}`, 1);
  await find(page, { site: '102', patientId: patient(4) });
  await cellOf(page, patient(4), 'Baseline').waitFor();
  assert.equal(await page.locator('#grid tbody tr').count(), 1);
  await find(page, { site: '101', patientId: patient(4) });
  await page.waitForFunction(() => document.getElementById('trialState').textContent === 'Nothing has come that fits.');
  await find(page, { site: '999' });
  await page.waitForSelector('#search-error:visible');
  assert.match(await said(page, '#search-error'), /999/);
  await find(page, { study: '' });
  await page.waitForFunction(() => /No study is chosen/.test(document.getElementById('figures').textContent));
  assert.doesNotMatch(await said(page, '#figures'), /The file of this study/);
  await find(page, { study: 'BT' });
  await page.waitForFunction(() => /plans no visits/.test(document.getElementById('figures').textContent));
  await find(page, { study: 'bt' });
  await page.waitForFunction(() => /The server knows no study bt\. Capital and small letters matter\. So it knows of no planned visits/.test(document.getElementById('figures').textContent));
  assert.equal(await page.locator('#figures table').count(), 0);
  await check(page, 'progress-unknown');
  await close(page);
});

test('more patients than fit on a page are shown when they are asked for', async () => {
  const page = await openPage();
  for (let n = 10; n < 62; n++) await answers(page, { patientId: patient(n), visitId: 'V01', authored: daysAgo(1) });
  await caughtUp(page, `study=TP&patientId=${patient(61)}`, 1);
  await find(page);
  await page.waitForSelector('#more:visible');
  assert.equal(await page.locator('#grid tbody tr').count(), 50);
  await page.click('#more');
  await cellOf(page, patient(61), 'Baseline').waitFor();
  assert.ok(await page.locator('#grid tbody tr').count() >= 52);
  await close(page);
});

for (const [locale, words] of [['en-GB', ['Late', 'Missing']], ['zh-CN', ['逾期', '缺失']]]) {
  test(`on a phone what is late and missing is in sight, the grid scrolls by itself, and the rest fits (${locale})`, async () => {
    const page = await openPage({ ...phone, locale });
    await answers(page, { patientId: patient(0), visitId: 'V01', authored: daysAgo(20) });
    await caughtUp(page, `study=TP&patientId=${patient(0)}`, 1);
    await find(page, { patientId: patient(0) });
    await cellOf(page, patient(0), 'Baseline').waitFor();
    const heads = page.locator('#figures thead th');
    const columns = await heads.allInnerTexts();
    const figures = await page.locator('#figures tbody tr').first().locator('td').allInnerTexts();
    for (const word of words) {
      const { x, width } = await heads.nth(columns.indexOf(word)).boundingBox();
      assert.ok(x >= 0 && x + width <= 390, `${word} ends at ${x + width}`);
    }
    const { totals } = await (await page.request.get(new URL(`trial-progress?study=TP&patientId=${patient(0)}`, base).href)).json();
    assert.deepEqual(words.map((word) => figures[columns.indexOf(word) - 1]), [totals.late, totals.missing].map(String));
    await checkGrid(page, `progress-phone-${locale}`);
    await cellOf(page, patient(0), 'Week 1').tap();
    await page.waitForSelector('#detail:visible');
    await checkGrid(page, `progress-phone-detail-${locale}`);
    await close(page);
  });
}
