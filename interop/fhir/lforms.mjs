// Fills in Questionnaires with LHC-Forms in a real browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** How long the browser waits for what must come, in milliseconds. */
const patience = 120_000;

const dist = fileURLToPath(new URL('node_modules/lforms/dist/lforms', import.meta.url));
const types = { css: 'text/css', js: 'text/javascript', png: 'image/png' };
const html = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>LHC-Forms</title>' +
  '<link rel="stylesheet" href="/webcomponent/styles.css"><div id="form"></div>' +
  ['webcomponent/assets/lib/zone.min.js', 'webcomponent/runtime.js', 'webcomponent/polyfills.js', 'webcomponent/main.js', 'fhir/R4/lformsFHIR.min.js']
    .map((src) => `<script src="/${src}"></script>`).join('');

/** Opens a page that has LHC-Forms and reaches nothing but its files. */
export async function open() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', timeout: patience,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  page.setDefaultTimeout(patience);
  page.complaints = [];
  page.on('pageerror', (e) => page.complaints.push(e.message));
  await page.route('**/*', (route) => {
    const url = new URL(route.request().url());
    if (url.hostname !== 'lforms.test') return route.abort();
    if (url.pathname === '/') return route.fulfill({ contentType: 'text/html', body: html });
    const contentType = types[url.pathname.split('.').pop()];
    return contentType ? route.fulfill({ contentType, body: readFileSync(join(dist, url.pathname)) }) : route.fulfill({ status: 404 });
  });
  await page.goto('http://lforms.test/');
  await page.waitForFunction(() => globalThis.LForms?.Util?.addFormToPage);
  return { page, close: () => browser.close() };
}

/**
 * Shows a Questionnaire and chooses for each linkId the option at a place. Then returns the QuestionnaireResponse that
 * LHC-Forms makes for a patient.
 */
export async function fill(page, questionnaire, choices, { patient }) {
  await page.evaluate(async (q) => {
    document.getElementById('form').replaceChildren();
    await LForms.Util.addFormToPage(q, 'form', { fhirVersion: 'R4' });
  }, questionnaire);
  for (const [linkId, place] of Object.entries(choices)) {
    const option = page.locator(`[id=${JSON.stringify(`item-${linkId}/1`)}] label.ant-radio-wrapper`).nth(place);
    await option.click();
    await option.and(page.locator('.ant-radio-wrapper-checked')).waitFor();
  }
  const response = await page.evaluate((id) => LForms.Util.getFormFHIRData('QuestionnaireResponse', 'R4', '#form',
    { subject: { resourceType: 'Patient', id } }), patient);
  assert.deepEqual(page.complaints, []);
  return response;
}
