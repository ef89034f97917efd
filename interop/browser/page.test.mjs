// What the page promises, tried in a real browser against a running casepress.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { picture, truncated, manyPixels, text } from './pictures.mjs';
import { base, plain, phone, launch, open, close, check, fill, completed, report, countOf, uploads, said, newPatient } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const digest = (file) => createHash('sha256').update(file.buffer).digest('hex');

test('a report goes from the photos to the PDF, with a receipt that was checked', async () => {
  const page = await open(browser);
  const files = [picture(1), picture(2), picture(3)];
  const notes = 'Rash since Tuesday.\n左前臂皮疹，无发热。';
  const patient = await fill(page, { notes, files });
  await page.click('#send');
  const stored = await completed(page);

  assert.equal(stored.status, 'completed');
  assert.equal(stored.patientId, patient);
  assert.equal(stored.notes, notes);
  assert.equal(stored.capturedAt, null, 'nobody has said when: the photos do');
  assert.deepEqual(stored.images.map((i) => i.sha256), files.map(digest));
  await page.waitForSelector('#verified[data-result="same"]');
  assert.equal(await said(page, '#verified'), 'Verified: the server stored exactly your bytes');
  assert.equal(await page.locator('#receiptId').getAttribute('title'), stored.id);
  assert.equal(await page.locator('#receiptDigest').getAttribute('title'), stored.receipt.sha256);
  assert.equal(await said(page, '#receiptSequence'), String(stored.receipt.sequence));

  const link = await page.locator('#openPdf').evaluate((a) => a.href);
  const pdf = await page.request.get(link);
  assert.equal(pdf.status(), 200);
  assert.equal(pdf.headers()['content-type'], 'application/pdf');
  assert.equal((await pdf.body()).subarray(0, 5).toString(), '%PDF-');

  await page.waitForFunction(() => [...document.querySelectorAll('#frames img')].filter((i) => i.naturalWidth > 0).length === 3);
  await close(page);
});

test('the order on the page is the order of the report, by mouse and by keyboard', async () => {
  const page = await open(browser);
  const [a, b, c] = [picture(11), picture(12), picture(13)];
  await fill(page, { files: [a, b, c] });
  await page.locator('.tile').nth(2).getByRole('button', { name: 'Move photo 3 earlier' }).click();
  await page.keyboard.press('Enter'); // the focus has followed the photo
  await page.locator('.tile').nth(2).dragTo(page.locator('.tile').nth(1));
  assert.deepEqual(await page.locator('.tile .frame').evaluateAll((f) => f.map((x) => x.title)), [c, b, a].map((f) => f.name));
  await page.locator('.tile').nth(1).getByRole('button', { name: 'Remove photo 2' }).click();
  await page.click('#send');
  const stored = await completed(page);
  assert.deepEqual(stored.images.map((i) => i.sha256), [c, a].map(digest));
  await close(page);
});

test('what the page can check is said at the field before anything is sent', async () => {
  const page = await open(browser);
  const sent = uploads(page);
  await page.fill('#notes', '字'.repeat(4001));
  await page.click('#send');
  assert.equal(await said(page, '#patientId-error'), 'Enter the patient ID.');
  assert.equal(await said(page, '#images-error'), 'Add at least one photo.');
  assert.equal(await said(page, '#notes-error'), 'Shorten the notes by 1 characters.');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'patientId');
  assert.equal(await page.locator('#patientId').getAttribute('aria-invalid'), 'true');
  await page.fill('#patientId', 'P 1');
  await page.click('#send');
  assert.match(await said(page, '#patientId-error'), /letters, digits/);
  assert.equal(sent.length, 0);
  await close(page);
});

test('what the server refuses is said at its field, with whether it was stored', async () => {
  const page = await open(browser);
  const patient = await fill(page, { files: [picture(21), picture(22)] });
  await page.setInputFiles('#images', [text]);
  await page.waitForFunction(() => document.querySelectorAll('.tile').length === 3);
  await page.click('#send');
  await page.waitForSelector('#images-error:visible');
  assert.equal(await said(page, '#images-error'), 'Photo 3, notes.png, is not an image of a known format. Remove it.');
  assert.deepEqual(await page.locator('.tile').evaluateAll((tiles) => tiles.map((tile) => tile.classList.contains('wrong'))), [false, false, true]);
  await page.click('#language');
  assert.equal(await said(page, '#images-error'), '照片 3（notes.png）不是可识别的图片格式，请移除。');
  await page.click('#language');
  assert.match(await said(page, '#storedText'), /^Not stored/);
  assert.equal(await countOf(page, patient), 0);

  await page.getByRole('button', { name: 'Remove photo 3' }).click();
  await page.fill('#capturedAt', '2026-11-20T08:15');
  await page.click('#send');
  assert.match((await completed(page)).capturedAt, /^2026-11-20T08:15:00[+-]\d\d:\d\d$/);
  assert.equal(await countOf(page, patient), 1);
  await close(page);
});

test('study, site and visit of the address are filled in, and seen', async () => {
  const page = await open(browser, { at: new URL('#study=BT&site=101&visit=V02&patient=P1', base).href, within: base });
  for (const [field, value] of [['study', 'BT'], ['site', '101'], ['visitId', 'V02'], ['patientId', ''], ['capturedAt', '']]) {
    assert.equal(await page.inputValue(`#${field}`), value);
    assert.ok(await page.locator(`#${field}`).isVisible());
  }
  assert.equal(await said(page, '#zone'), 'empty: from photo');
  await page.fill('#capturedAt', '2026-11-20T08:15');
  assert.match(await said(page, '#zone'), /^UTC[+-]\d\d:\d\d$/);
  const picker = await page.getAttribute('#images', 'accept');
  for (const type of ['image/heic', 'image/heif', 'image/avif', '.heic']) assert.ok(picker.split(',').includes(type), type);
  await close(page);
});

test('pressing twice sends once', async () => {
  const page = await open(browser);
  const sent = uploads(page);
  const patient = await fill(page);
  await page.evaluate(() => {
    const button = document.getElementById('send');
    button.click();
    button.click();
    document.getElementById('form').requestSubmit();
  });
  await completed(page);
  assert.equal(sent.length, 1);
  assert.equal(await countOf(page, patient), 1);
  await close(page);
});

test('sending does not wait for the previews, and is verified all the same', async () => {
  const page = await open(browser);
  await page.fill('#patientId', newPatient());
  const files = Array.from({ length: 8 }, (_, i) => picture(i + 70, { width: 2400, height: 1800 }));
  await page.setInputFiles('#images', files);
  await page.click('#send');
  const stored = await completed(page);
  assert.deepEqual(stored.images.map((i) => i.sha256), files.map(digest));
  await page.waitForSelector('#verified[data-result="same"]');
  await close(page);
});

test('an address of a report that does not exist says so', async () => {
  const page = await open(browser);
  await page.goto(new URL('#/00000000-0000-7000-8000-000000000000', page.url()).href);
  await page.waitForSelector('#stepStored[data-mark="bad"]');
  assert.equal(await said(page, '#storedText'), 'This server does not know this report.');
  await page.click('#another');
  await page.waitForSelector('#send:visible');
  await close(page);
});

test('an address that names no report at all says so too', async () => {
  const page = await open(browser);
  for (const hash of ['#/%E0%A4%A', '#/a%20b', `#/${'x'.repeat(65)}`, '#/a/b']) {
    await page.goto(new URL(hash, page.url()).href);
    await page.waitForSelector('#stepStored[data-mark="bad"]');
    assert.equal(await said(page, '#storedText'), 'This server does not know this report.');
  }
  await close(page);
});

test('more photos than the server takes are told before anything is sent', async () => {
  const page = await open(browser);
  const sent = uploads(page);
  await page.fill('#patientId', newPatient());
  const { maxImages } = await (await page.request.get(new URL('limits', page.url()).href)).json();
  await page.setInputFiles('#images', Array.from({ length: maxImages + 2 }, (_, i) => picture(i + 200)));
  assert.equal(await page.locator('.tile').count(), maxImages);
  assert.match(await said(page, '#leftOutText'), /^Not added, because at most 50 photos fit into one report: /);
  assert.equal(sent.length, 0);
  await close(page);
});

const leftOut = {
  'en-GB': {
    note: ['Not added, because only JPEG, HEIC, AVIF, PNG, WebP, GIF, TIFF and BMP can be used: scan.nef, letter.pdf',
      'Not added, because the file is empty: empty.jpg', 'Not added, because at most 2 photos fit into one report: photo-503.png'].join('\n'),
    more: 'Not added, because at most 2 photos fit into one report: photo-504.png',
    kept: 'The photos that were sent are no longer needed on this device.',
    notSent: '5 chosen photos were not sent: scan.nef, letter.pdf, empty.jpg, photo-503.png, photo-504.png',
  },
  'zh-CN': {
    note: ['未添加，只支持 JPEG、HEIC、AVIF、PNG、WebP、GIF、TIFF 和 BMP：scan.nef、letter.pdf',
      '未添加，文件为空：empty.jpg', '未添加（一份报告最多 2 张照片）：photo-503.png'].join('\n'),
    more: '未添加（一份报告最多 2 张照片）：photo-504.png',
    kept: '已发送的照片不再需要保留在本设备上。',
    notSent: '选择的照片中有 5 张未发送：scan.nef、letter.pdf、empty.jpg、photo-503.png、photo-504.png',
  },
};

for (const [locale, words] of Object.entries(leftOut)) {
  test(`photos that were left out stay named, whatever is wrong with the form, and on the receipt (${locale})`, async () => {
    const page = await open(browser, { locale, ...phone });
    await page.route('**/limits', (route) => route.fulfill({ json: { maxBodyBytes: 1e8, maxImages: 2, maxPixels: 5e7, maxNotesCharacters: 4000 } }));
    await page.reload();
    await page.waitForFunction(() => document.getElementById('count').textContent !== '');
    const file = (name, mimeType, content) => ({ name, mimeType, buffer: Buffer.from(content) });
    await fill(page, { patient: 'P 003', files: [picture(501), picture(502)] });
    await page.setInputFiles('#images', [file('scan.nef', 'image/x-nikon-nef', 'raw'), file('letter.pdf', 'application/pdf', '%PDF-'), file('empty.jpg', 'image/jpeg', ''), picture(503)]);
    assert.equal(await said(page, '#leftOutText'), words.note);
    await page.tap('#send');
    await page.waitForSelector('#patientId-error:visible');
    assert.equal(await said(page, '#leftOutText'), words.note);
    assert.ok(await page.locator('#images-error').isHidden());
    await check(page, `left-out-${locale}`);

    await page.tap('#hideLeftOut');
    assert.ok(await page.locator('#leftOut').isHidden());
    await page.setInputFiles('#images', [picture(504)]);
    assert.equal(await said(page, '#leftOutText'), words.more, 'only what has not been read');
    await page.fill('#patientId', newPatient());
    await page.tap('#send');
    const stored = await completed(page);
    assert.equal(stored.images.length, 2);
    await page.waitForFunction((text) => document.getElementById('deviceText').textContent === text, words.kept);
    assert.equal(await said(page, '#notSent'), words.notSent);
    assert.equal(await page.getAttribute('#stepDevice', 'data-mark'), 'held');
    await page.tap('#another');
    assert.ok(await page.locator('#leftOut').isHidden());
    assert.ok(await page.locator('#notSent').isHidden());
    await close(page);
  });
}

test('a photo that finds room after all is not told as left out', async () => {
  const page = await open(browser);
  await page.route('**/limits', (route) => route.fulfill({ json: { maxBodyBytes: 1e8, maxImages: 1, maxPixels: 5e7, maxNotesCharacters: 4000 } }));
  await page.reload();
  await page.waitForFunction(() => document.getElementById('count').textContent !== '');
  const folder = mkdtempSync(join(tmpdir(), 'casepress-'));
  const [first, second] = [511, 512].map((seed) => join(folder, `photo-${seed}.png`)); // of the same time whenever they are chosen
  writeFileSync(first, picture(511).buffer);
  writeFileSync(second, picture(512).buffer);
  await page.setInputFiles('#images', [first, second]);
  assert.match(await said(page, '#leftOutText'), /: photo-512\.png$/);
  await page.getByRole('button', { name: 'Remove photo 1' }).click();
  assert.match(await said(page, '#leftOutText'), /: photo-512\.png$/);
  await page.setInputFiles('#images', [second]);
  assert.ok(await page.locator('#leftOut').isHidden());
  await page.fill('#patientId', newPatient());
  await page.click('#send');
  await completed(page);
  assert.ok(await page.locator('#notSent').isHidden());
  await close(page);
  rmSync(folder, { recursive: true });
});

test('a picture with too many pixels is told in the words of the page', async () => {
  const page = await open(browser);
  const patient = await fill(page, { files: [picture(521), manyPixels(522)] });
  await page.click('#send');
  await page.waitForSelector('#images-error:visible');
  assert.equal(await said(page, '#images-error'), 'Photo 2, many-522.png, has more pixels than the server takes. Remove it, or take it again with a lower resolution.');
  await page.click('#language');
  assert.equal(await said(page, '#images-error'), '照片 2（many-522.png）的像素超过服务器的上限，请移除，或用较低的分辨率重新拍摄。');
  assert.equal(await countOf(page, patient), 0);
  await close(page);
});

test('the limits are those of the server, and a page that cannot ask for them still sends', async () => {
  const page = await open(browser);
  await page.route('**/limits', (route) => route.fulfill({ json: { maxBodyBytes: 100_000, maxImages: 1, maxPixels: 1, maxNotesCharacters: 3 } }));
  await page.reload();
  await page.waitForFunction(() => document.getElementById('count').textContent === '0 of 3 characters');
  await fill(page, { files: [picture(301, { noise: true })], notes: '皮疹疹疹' });
  await page.click('#send');
  assert.equal(await said(page, '#notes-error'), 'Shorten the notes by 1 characters.');
  assert.match(await said(page, '#images-error'), /^Together the photos have .* the server takes 100 kB/);
  await close(page);

  const other = await open(browser);
  await other.route('**/limits', (route) => route.abort());
  await other.reload();
  await fill(other);
  await other.click('#send');
  await completed(other);
  await close(other);
});

test('the copies are needed until every photo has been decoded', async () => {
  const page = await open(browser);
  await page.route(/\/case-reports\/[^/]+$/, async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    const { etag, ...headers } = response.headers(); // it is of another answer: with it the page would be told that nothing has changed
    await route.fulfill({ status: response.status(), headers, json: { ...body, status: 'processing', report: null } });
  });
  await fill(page);
  await page.click('#send');
  await page.waitForSelector('#verified[data-result="same"]');
  assert.equal(await said(page, '#deviceText'), 'Keep your photos until the PDF is ready: one may have to be taken again.');
  await page.unrouteAll({ behavior: 'wait' });
  await page.waitForFunction(() => document.getElementById('deviceText').textContent === 'The photos that were sent are no longer needed on this device.');
  await close(page);
});

test('earlier reports are found by patient, visit and status, page by page', async () => {
  const page = await open(browser);
  const patient = newPatient();
  for (let i = 1; i <= 23; i++) {
    const response = await page.request.post(new URL('upload-case-report', page.url()).href, { multipart: {
      patientId: patient, visitId: i === 7 ? 'V7' : 'V1', notes: `note ${i}`, images: { name: 'a.png', mimeType: 'image/png', buffer: picture(400).buffer },
    } });
    assert.equal(response.status(), 202);
  }
  await page.click('#openList');
  await page.fill('#searchPatient', patient);
  await page.click('#search button');
  const rows = page.locator('#found > li');
  await page.waitForFunction((p) => [...document.querySelectorAll('#found b')].every((b) => b.textContent === p) && document.querySelectorAll('#found > li').length === 20, patient);
  await page.click('#older');
  await page.waitForFunction(() => document.querySelectorAll('#found > li').length === 23);
  assert.ok(await page.locator('#older').isHidden());
  assert.match(await rows.nth(22).innerText(), /note 1$/);
  await page.fill('#searchVisit', 'V7');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#found > li').length === 1);
  assert.match(await rows.nth(0).innerText(), /V7[^]*note 7/);
  await page.selectOption('#searchStatus', 'failed');
  await page.waitForFunction(() => document.getElementById('listState').textContent === 'No report found.');
  await page.selectOption('#searchStatus', 'completed');
  await page.waitForFunction(() => [...document.querySelectorAll('#found img')].some((i) => i.naturalWidth > 0));
  await page.fill('#searchPatient', 'a b');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#search-error:visible');
  assert.match(await said(page, '#search-error'), /patientId must be 1 to 64/);
  await page.fill('#searchPatient', patient);
  await page.keyboard.press('Enter');
  await rows.nth(0).locator('a').click();
  await page.waitForSelector('#shownNotes:visible');
  assert.equal(await said(page, '#shownNotes'), 'note 7');
  assert.ok(!page.url().includes(patient));
  await close(page);
});

test('an answer lost on the way makes no second report', async () => {
  const page = await open(browser);
  const sent = uploads(page);
  let lost = 0;
  await page.route('**/upload-case-report', async (route) => {
    if (lost++) return route.continue();
    await route.fetch();      // it arrives and is stored
    return route.abort('connectionreset');
  });
  const patient = await fill(page);
  await page.click('#send');
  await page.waitForSelector('#tryNow:visible');
  assert.match(await said(page, '#storedText'), /^Not stored yet: the server could not be reached/);
  const stored = await completed(page); // by itself
  assert.equal(sent.length, 2);
  assert.equal(await countOf(page, patient), 1);
  assert.equal(stored.patientId, patient);
  await close(page);
});

test('a report changed after a lost answer is not mistaken for the first', async () => {
  const page = await open(browser);
  let lost = 0;
  await page.route('**/upload-case-report', async (route) => {
    if (lost++) return route.continue();
    await route.fetch();
    return route.abort('connectionreset');
  });
  const patient = await fill(page);
  await page.click('#send');
  await page.click('#stop');
  await page.fill('#notes', 'One more thing.');
  await page.click('#send');
  await page.click('#sendAsNew');
  await completed(page);
  assert.equal(await countOf(page, patient), 2);
  await close(page);
});

test('a reload after a lost answer finds the report again', async () => {
  const page = await open(browser);
  page.on('dialog', (d) => d.accept());
  await page.route('**/upload-case-report', async (route) => {
    await route.fetch();
    await route.abort('connectionreset');
  });
  const patient = await fill(page);
  await page.click('#send');
  await page.waitForSelector('#tryNow:visible');
  await page.reload();
  await page.click('#arrivedNotice a');
  const stored = await completed(page);
  assert.equal(stored.patientId, patient);
  await close(page);
});

test('offline the report waits, online it goes on by itself', async () => {
  const page = await open(browser);
  const patient = await fill(page);
  await page.context().setOffline(true);
  await page.click('#send');
  await page.waitForSelector('#tryNow:visible');
  assert.equal(await said(page, '#storedText'), 'Not stored yet: this device is offline');
  assert.equal(await page.locator('.tile').count(), 2);
  await page.context().setOffline(false);
  await completed(page);
  assert.equal(await countOf(page, patient), 1);
  await close(page);
});

test('a busy server is not asked again before it said so', async () => {
  const page = await open(browser);
  const sent = uploads(page);
  let asked = 0;
  await page.route('**/upload-case-report', (route) => (asked++ ? route.continue() : route.fulfill({
    status: 503, contentType: 'application/problem+json', headers: { 'Retry-After': '5' },
    body: JSON.stringify({ title: 'Too busy', status: 503, detail: 'More is coming in than can be recorded.', code: 'overloaded', stored: false, retryable: true }),
  })));
  await fill(page);
  await page.click('#send');
  await page.waitForSelector('#tryNow:visible');
  assert.equal(await said(page, '#storedText'), 'Not stored yet: the server is busy');
  assert.match(await said(page, '#storedDetail'), /More is coming in than can be recorded\..*Trying again in \d s\./);
  await completed(page);
  assert.equal(sent.length, 2);
  assert.ok(sent[1].at - sent[0].at >= 5000, `asked again after ${sent[1].at - sent[0].at} ms`);
  await close(page);
});

test('a sign-in page that answers 200 is not taken for success', async () => {
  const page = await open(browser);
  await page.route('**/upload-case-report', (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<h1>Welcome to Hotel Wi-Fi</h1>' }));
  await fill(page);
  await page.click('#send');
  await page.waitForFunction((text) => document.getElementById('storedText').textContent === text, 'Not stored yet: something other than casepress answered');
  await close(page);
});

test('a photo that changed on the device since it was chosen is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'casepress-'));
  const path = join(folder, 'photo.png');
  writeFileSync(path, picture(51).buffer);
  utimesSync(path, 0, Date.now() / 1000 - 60); // browsers tell a change by the second
  const page = await open(browser);
  const patient = await fill(page, { files: [path] });
  writeFileSync(path, picture(52, { noise: true }).buffer);
  await page.click('#send');
  await page.waitForSelector('#images-error:visible');
  assert.match(await said(page, '#images-error'), /^Photo 1 can no longer be read/);
  assert.equal(await said(page, '#storedText'), 'Not stored yet');
  assert.equal(await countOf(page, patient), 0);
  await close(page);
  rmSync(folder, { recursive: true });
});

test('a digest that differs is shown as what it is', async () => {
  const page = await open(browser);
  await page.route('**/upload-case-report', async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    body.images[1].sha256 = '0'.repeat(64);
    await route.fulfill({ response, json: body });
  });
  await fill(page);
  await page.click('#send');
  await page.waitForSelector('#verified[data-result="bad"]');
  assert.match(await said(page, '#verified'), /^Photo 2 differs/);
  await close(page);
});

test('a picture nobody can decode completes the report with a problem', async () => {
  const page = await open(browser);
  await fill(page, { files: [picture(31), truncated(32)] });
  await page.click('#send');
  const stored = await completed(page);
  assert.equal(stored.problems.length, 1);
  assert.match(await said(page, '#problems'), /^Photo 2 could not be read as an image/);
  assert.equal(await said(page, '#workText'), 'Done, with 1 problem');
  await page.waitForSelector('#verified[data-result="same"]');
  assert.equal(await said(page, '#deviceText'), 'Photo 2 has a problem: keep it, or take it again.');
  assert.equal(await page.locator('.tile.wrong').count(), 1);
  await close(page);
});

test('a failed report says why and runs again on request', async () => {
  const page = await open(browser);
  await fill(page);
  await page.click('#send');
  const stored = await completed(page);
  let failed = true;
  await page.route(`**/case-reports/${stored.id}`, (route) => (failed
    ? route.fulfill({ json: { ...stored, status: 'failed', report: null, error: 'write report: input/output error' } })
    : route.continue()));
  await page.route('**/retry', (route) => {
    failed = false;
    return route.fulfill({ status: 202, json: { id: stored.id, status: 'accepted' } });
  });
  await page.reload();
  await page.waitForSelector('#retry:visible');
  assert.match(await said(page, '#workText'), /Your photos and data are safe/);
  assert.equal(await said(page, '#workDetail'), 'write report: input/output error');
  await page.click('#retry');
  await completed(page);
  await close(page);
});

test('the page speaks Chinese, and so does the server', async () => {
  const page = await open(browser);
  await page.click('#language');
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  assert.equal(await said(page, 'h1'), '病例报告');
  await fill(page, { files: [text] });
  const refused = page.waitForResponse((r) => r.url().endsWith('/upload-case-report'));
  await page.click('#send');
  assert.equal((await refused).request().headers()['accept-language'], 'zh-CN');
  await page.waitForSelector('#images-error:visible');
  assert.match(await said(page, '#images-error'), /不是可识别的图片格式/);
  page.on('dialog', (d) => d.accept());
  await page.reload();
  assert.equal(await said(page, 'h1'), '病例报告'); // the choice stays
  await page.click('#language');
  assert.equal(await said(page, 'h1'), 'Case reports');
  assert.equal(await page.title(), 'Case reports');
  await close(page);

  const chinese = await open(browser, { locale: 'zh-CN' });
  assert.equal(await said(chinese, 'h1'), '病例报告');
  const marked = await chinese.locator('[data-t]').evaluateAll((nodes) => nodes.filter((n) => n.textContent === 'undefined').map((n) => n.dataset.t));
  assert.deepEqual(marked, []);
  const [en, zh] = await chinese.evaluate(async () => Object.values((await import('/texts.js')).texts).map((t) => Object.keys(t)));
  assert.deepEqual(zh, en);
  await close(chinese);
});

test('nothing about the patient stays in the browser', async () => {
  const page = await open(browser);
  const patient = await fill(page, { notes: 'private words' });
  await page.click('#send');
  const { id } = await completed(page);
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.ok(kept.includes(id));
  assert.ok(!kept.includes(patient) && !kept.includes('private'), kept);
  await page.click('#another');
  assert.equal(await page.inputValue('#patientId'), '');
  assert.equal(await page.inputValue('#notes'), '');
  await page.locator('#recentList a').click();
  assert.equal((await report(page)).id, id);
  await close(page);
});

test('study and site go with the report and are remembered, and are shown where there is something', async () => {
  const page = await open(browser);
  assert.equal(await page.locator('#study').isVisible(), false);
  await page.click('#more > summary');
  await page.fill('#study', 'a/b');
  await page.fill('#site', '..');
  await fill(page, { files: [picture(61)] });
  await page.click('#more > summary');
  await page.click('#send');
  assert.match(await said(page, '#study-error'), /^Use up to 64 letters/); // and it is open again
  assert.match(await said(page, '#site-error'), /^Use up to 64 letters/);
  await page.fill('#study', ' TRIAL-7 ');
  await page.fill('#site', 'S01');
  await page.click('#send');
  const stored = await completed(page);
  assert.equal(stored.study, 'TRIAL-7');
  assert.equal(stored.site, 'S01');
  assert.equal(await said(page, '#receiptStudy'), 'TRIAL-7');
  assert.equal(await said(page, '#receiptSite'), 'S01');

  await page.goto(base);
  await page.reload();
  assert.equal(await page.inputValue('#study'), 'TRIAL-7');
  assert.equal(await page.inputValue('#site'), 'S01');
  assert.equal(await page.locator('#study').isVisible(), true);
  assert.equal(await page.inputValue('#patientId'), '');
  await page.fill('#study', '');
  await page.fill('#site', '');
  await page.reload();
  assert.equal(await page.locator('#study').isVisible(), false);
  await close(page);
});

for (const locale of ['en-GB', 'zh-CN']) {
  test(`no phone from 320 to 430 pixels scrolls sideways (${locale})`, async () => {
    const page = await open(browser, { locale, viewport: { width: 320, height: 740 }, hasTouch: true, isMobile: true });
    for (const width of [320, 360, 390, 412, 430]) {
      await page.setViewportSize({ width, height: 740 });
      // Not innerWidth: a phone's browser makes that as wide as the content.
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
      const outside = await page.locator('.top a, .top button').evaluateAll((nodes, most) => nodes.map((n) => n.getBoundingClientRect().right).filter((right) => right > most), width);
      assert.deepEqual(outside, []);
    }
    await close(page);
  });
}

test('a phone of 360 pixels shows everything without scrolling sideways', async () => {
  const page = await open(browser, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= 360);
  assert.ok(await page.locator('.cameraOnly').isVisible());
  await fill(page, { files: [picture(41), picture(42), truncated(43)] });
  assert.ok(await fits());
  const small = await page.locator('button:visible, a:visible, label.button:visible').evaluateAll((nodes) => nodes
    .map((n) => [n.outerHTML.slice(0, 80), n.getBoundingClientRect().height]).filter(([, height]) => height < 44));
  assert.deepEqual(small, []);
  await page.tap('#send');
  await completed(page);
  assert.ok(await fits());
  await page.tap('#openList');
  await page.waitForSelector('#found > li');
  assert.ok(await fits());
  await page.goBack();
  await completed(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'panelHeading');
  await close(page);
});

test('plain http in a site\'s own network does everything, digests included', async () => {
  const page = await open(browser, { at: plain });
  assert.equal(await page.evaluate(() => crypto.subtle), undefined);
  const patient = await fill(page, { files: [picture(61, { noise: true }), picture(62)] });
  await page.click('#send');
  await completed(page);
  await page.waitForSelector('#verified[data-result="same"]');
  assert.equal(await said(page, '#verified'), 'Verified: the server stored exactly your bytes');
  assert.equal(await countOf(page, patient), 1);
  await close(page);
});

test('the digest without a secure context is the same digest', async () => {
  const page = await open(browser);
  const differing = await page.evaluate(async () => {
    const { sha256, sha256Plain } = await import('/digest.js');
    const wrong = [];
    for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 65]) {
      const bytes = new Uint8Array(size).map((_, i) => (i * 7 + size) % 251);
      const file = new Blob([bytes]);
      if (await sha256(file) !== await sha256Plain(file)) wrong.push(size);
    }
    return wrong;
  });
  assert.deepEqual(differing, []);
  await close(page);
});
