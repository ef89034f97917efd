// A browser for the tests, and what they do again and again on the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { picture } from './pictures.mjs';

/** The address of the running casepress. */
export const base = new URL(process.env.CASEPRESS_URL ?? 'http://127.0.0.1:8080/').href;

/** The same by another name: not localhost, so not a secure context. */
export const plain = base.replace(/\/\/[^:/]+/, '//site.test');

/** The options of a page on a phone. */
export const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

/** How long a test waits for what must come, in milliseconds. */
const patience = 120_000;

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Starts Chromium: Debian's, or the one named by CHROMIUM. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', timeout: patience,
    args: [`--host-resolver-rules=MAP ${new URL(plain).hostname} ${new URL(base).hostname}`, '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/**
 * Opens a page in a fresh profile. Whatever it logs as an error, loads from outside
 * of within or throws is collected in page.complaints.
 */
export async function open(browser, { at = base, within = at, ...options } = {}) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (e) => page.complaints.push(`threw ${e.message}`));
  page.on('request', (r) => { if (!/^(data|blob):/.test(r.url()) && !r.url().startsWith(within)) page.complaints.push(`asked for ${r.url()}`); });
  page.on('console', (m) => { if (m.type() === 'error' && !/Failed to load resource/.test(m.text())) page.complaints.push(m.text()); });
  await page.goto(at);
  return page;
}

/** Closes the page's profile and makes sure that it had nothing to complain about. */
export async function close(page) {
  const { complaints } = page;
  await page.unrouteAll({ behavior: 'ignoreErrors' }); // an answer on its way through a route is of no use any more
  await page.context().close();
  assert.deepEqual(complaints, []);
}

/**
 * Nothing that axe finds serious, nothing that scrolls sideways, and no target on a phone that is
 * smaller than a finger. It takes a screenshot by this name where they are wanted.
 */
export async function check(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const found = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map((v) => `${name}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(' | ')}`);
  assert.deepEqual(found, []);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= page.viewportSize().width, `${name} scrolls sideways`);
  if (page.viewportSize().width < 500) {
    const small = await page.locator('main button:visible, main a:visible, main label.option:visible, main select:visible, main summary:visible').evaluateAll((nodes) => nodes
      .filter((n) => !n.closest('table')).map((n) => [n.outerHTML.slice(0, 80), n.getBoundingClientRect().height]).filter(([, height]) => height < 44));
    assert.deepEqual(small, [], name);
  }
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** A patient ID that no other test and no earlier run has used. */
export const newPatient = () => `T-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;

/** Fills in the form; files are added after the fields. */
export async function fill(page, { patient = newPatient(), visit = 'V2', notes = '', files = [picture(1), picture(2)] } = {}) {
  await page.fill('#patientId', patient);
  await page.fill('#visitId', visit);
  await page.fill('#notes', notes);
  await page.setInputFiles('#images', files);
  await page.waitForFunction((n) => document.querySelectorAll('#tiles .picture > *').length === n, files.length);
  return patient;
}

/** Waits until the PDF is there and returns the report as the API tells it. */
export async function completed(page) {
  await page.waitForSelector('#openPdf:visible');
  return report(page);
}

/** The report that is open, as the API tells it. */
export async function report(page) {
  const id = new URL(page.url()).hash.slice(2);
  const response = await page.request.get(new URL(`case-reports/${id}`, base).href);
  assert.equal(response.status(), 200);
  return response.json();
}

/** How many reports the server holds for a patient. */
export async function countOf(page, patient) {
  const response = await page.request.get(new URL(`case-reports?patientId=${patient}`, base).href);
  assert.equal(response.status(), 200);
  const body = await response.json();
  const list = Array.isArray(body) ? body : Object.values(body).find(Array.isArray);
  return list.length;
}

/** Collects the uploads the page sends. */
export function uploads(page) {
  const sent = [];
  page.on('request', (r) => {
    if (r.method() === 'POST' && r.url().endsWith('/upload-case-report')) sent.push({ at: Date.now(), headers: r.headers() });
  });
  return sent;
}

/** The visible text of an element. */
export const said = (page, selector) => page.locator(selector).innerText();
