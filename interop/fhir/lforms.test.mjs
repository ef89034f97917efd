// LHC-Forms shows every instrument as a running casepress serves it, and casepress takes the responses that it makes.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fill, open } from './lforms.mjs';

const base = process.env.CASEPRESS_URL;
const folder = process.env.CASEPRESS_FHIR_SERVED;
const study = 'S1';
const mostItems = 12; // of a form that are answered

let forms;
before(async () => { forms = await open(); });
after(() => forms.close());

/** Asks for a resource and keeps it for the validator. */
async function resource(path, name) {
  const response = await fetch(base + path, { headers: { Accept: 'application/fhir+json' } });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.equal(response.headers.get('content-type'), 'application/fhir+json');
  if (name) writeFileSync(join(folder, `${name}.json`), text);
  return JSON.parse(text);
}

async function put(id, body) {
  const response = await fetch(`${base}/fhir/R4/QuestionnaireResponse/${id}`, { method: 'PUT', body, headers: { 'Content-Type': 'application/fhir+json' } });
  const outcome = await response.json();
  assert.equal(outcome.resourceType, 'OperationOutcome');
  return { status: response.status, outcome };
}

/** What casepress made of a response, when it is scored. */
async function scored(id) {
  const response = await fetch(`${base}/questionnaire-responses/${id}?wait=30s`);
  const stored = await response.json();
  assert.equal(stored.status, 'completed', JSON.stringify(stored));
  return stored;
}

const instruments = (await (await fetch(`${base}/instruments?study=${study}`)).json()).items;

for (const { id: instrument, version } of instruments) {
  const name = instrument.replaceAll('_', '-');
  test(`${instrument} filled in by LHC-Forms`, async () => {
    const questionnaire = await resource(`/fhir/R4/Questionnaire/${name}?study=${study}`, `Questionnaire-${name}-served`);
    const definition = await (await fetch(`${base}/instruments/${instrument}?study=${study}`)).json();
    const chosen = definition.items.slice(0, mostItems).map((item, i) => ({ item, place: (i * 2 + 1) % item.options.length }));
    const made = await fill(forms.page, questionnaire, Object.fromEntries(chosen.map(({ item, place }) => [item.linkId, place])), { patient: 'P001' });

    assert.equal(made.questionnaire, `urn:casepress:questionnaire:${instrument}|${version}`);
    assert.equal(made.status, 'completed');
    assert.equal(made.item.length, chosen.length);
    const id = randomUUID();
    // What an app adds: the id that it made, the study, the visit, and the language if the form does not have exactly one.
    const language = definition.languages.length === 1 ? undefined : questionnaire.language;
    const body = JSON.stringify({
      ...made, id, language, encounter: { identifier: { value: 'V02' } },
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/workflow-researchStudy', valueReference: { identifier: { value: study } } }],
    });
    const { status, outcome } = await put(id, body);
    assert.equal(status, 201, JSON.stringify(outcome));
    writeFileSync(join(folder, `OperationOutcome-${name}-accepted.json`), JSON.stringify(outcome));
    const receipt = outcome.extension.find((e) => e.url === 'urn:casepress:receipt').extension;
    assert.equal(receipt.find((e) => e.url === 'sha256').valueString, createHash('sha256').update(body).digest('hex'));
    assert.equal((await put(id, body)).status, 201, 'the same again');
    const other = await put(id, body.replace('"V02"', '"V03"'));
    assert.equal(other.status, 409);
    writeFileSync(join(folder, `OperationOutcome-${name}-conflict.json`), JSON.stringify(other.outcome));

    const stored = await scored(id);
    assert.deepEqual(stored.answers, Object.fromEntries(chosen.map(({ item, place }) => [item.id, item.options[place].value])));
    assert.equal(stored.patientId, 'P001');
    assert.equal(stored.visitId, 'V02');
    assert.deepEqual(await resource(`/fhir/R4/QuestionnaireResponse/${id}`), JSON.parse(body));
    const bundle = await resource(`/fhir/R4/Observation?derived-from=QuestionnaireResponse/${id}`, `Observations-${name}-served`);
    assert.deepEqual(bundle.entry.map((e) => e.resource.valueQuantity?.value ?? null), stored.scores.map((s) => s.value));

    // The same answers by the native route, shown as a resource.
    const native = await fetch(`${base}/questionnaire-responses`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        id: `${name}-native`, study, instrument, version, patientId: 'P_001', language: definition.languages[0] ?? 'en', authored: '2026-11-26T20:03:11.5+08:00',
        answers: { ...stored.answers, ...Object.fromEntries(definition.items.filter((i) => i.notAsked).map((i) => [i.id, 'not-asked'])) },
        scores: Object.fromEntries(definition.scores.slice(0, 3).map((s, i) => [s.id, i === 1 ? null : 1.5])),
      }),
    });
    assert.equal(native.status, 201, await native.text());
    await scored(`${name}-native`);
    await resource(`/fhir/R4/QuestionnaireResponse/${name}-native`, `QuestionnaireResponse-${name}-native`);
    await resource(`/fhir/R4/Observation?derived-from=QuestionnaireResponse/${name}-native`, `Observations-${name}-native`);
  });
}

test('an item that need not be asked says so in LHC-Forms', async () => {
  const questionnaire = await resource('/fhir/R4/Questionnaire/phq-15');
  const id = randomUUID();
  const made = await fill(forms.page, questionnaire, { 4: 3 }, { patient: 'P001' });
  const { status, outcome } = await put(id, JSON.stringify({ ...made, id }));
  assert.equal(status, 201, JSON.stringify(outcome));
  assert.deepEqual((await scored(id)).answers, { 4: 'not-asked' });
});

test('an answer that is no option is refused with its place', async () => {
  const questionnaire = await resource('/fhir/R4/Questionnaire/phq-9');
  const id = randomUUID();
  const made = await fill(forms.page, questionnaire, { '/44250-9': 0, '/44255-8': 1 }, { patient: 'P001' });
  made.item[1].answer[0].valueCoding.code = 'LA0-0';
  const { status, outcome } = await put(id, JSON.stringify({ ...made, id }));
  assert.equal(status, 400);
  assert.deepEqual(outcome.issue.map((i) => i.expression), [['QuestionnaireResponse.item[1].answer[0].value']]);
  writeFileSync(join(folder, 'OperationOutcome-refused.json'), JSON.stringify(outcome));
});

test('an adverse event', async () => {
  const reported = { id: 'AE-1', study, patientId: 'P_001', visitId: 'V02', description: 'Rash on both arms.\nIt spreads.', onsetAt: '2026-11-26T08:00:00+08:00', knownAt: '2026-11-26T19:40:00.5+08:00', seriousness: ['C83052', 'C82521'], reporter: 'Nurse Wang' };
  const post = async (path, body) => {
    const response = await fetch(base + path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    assert.ok(response.ok, await response.text());
  };
  await post('/adverse-events', reported);
  const event = await resource('/fhir/R4/AdverseEvent/AE-1', 'AdverseEvent-open-served');
  assert.deepEqual(event.seriousness.coding.map(({ code }) => code), reported.seriousness);
  await post('/adverse-events/AE-1/acknowledge', { name: 'Dr. Li', decision: 'sae' });
  await resource('/fhir/R4/AdverseEvent/AE-1', 'AdverseEvent-acknowledged-served');
  await post('/adverse-events', { ...reported, id: 'AE-2', exercise: true });
  assert.equal((await fetch(`${base}/fhir/R4/AdverseEvent/AE-2`)).status, 404, 'an exercise happened to nobody');
});

test('what is served besides', async () => {
  await resource('/fhir/R4/metadata', 'CapabilityStatement-served');
  const found = await resource('/fhir/R4/Questionnaire?url=urn:casepress:questionnaire:gad-7', 'Bundle-Questionnaires');
  assert.equal(found.total, 1);
});
