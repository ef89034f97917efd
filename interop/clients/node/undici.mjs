// undici by hand: upload, the same again, poll, and resume after a cut.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { FormData, fetch, request } from "undici";
import * as files from "./files.mjs";

const patientId = "P-undici";
const json = async (response, status) => {
  const text = await response.text();
  assert.equal(response.status, status, text);
  return JSON.parse(text);
};

// A form is made anew for each try.
const upload = () => {
  const form = new FormData();
  form.set("patientId", patientId);
  form.set("notes", files.notes);
  for (const photo of files.photos) form.append("images", new Blob([photo.bytes]), photo.name);
  return fetch(`${files.url}/upload-case-report`, { method: "POST", body: form, headers: { "Idempotency-Key": '"hand-undici"' } });
};
const first = await json(await upload(), 202);
files.storedReport(first);
const again = await upload();
assert.equal(again.headers.get("Idempotency-Replayed"), "true");
assert.deepEqual((await json(again, 202)).receipt, first.receipt);

let etag = "";
for (;;) {
  const response = await fetch(`${files.url}${first.statusUrl}?wait=20s`, { headers: etag ? { "If-None-Match": etag } : {} });
  if (response.status === 304) continue;
  etag = response.headers.get("ETag");
  const report = await json(response, 200);
  if (report.status !== "completed") { assert.notEqual(report.status, "failed"); continue; }
  files.checkReport(report, files.photos);
  const pdf = await fetch(`${files.url}${report.report.url}`);
  files.checkPDF(Buffer.from(await pdf.arrayBuffer()), report.report);
  break;
}

// The line breaks in the middle of an image: nothing is there. Then it is put, and found by HEAD.
const { name, bytes } = files.photos[1];
const address = `${files.url}/images/IMG-cut?patientId=${patientId}`;
async function* half() {
  yield bytes.subarray(0, bytes.length / 2);
  throw new Error("cut");
}
await assert.rejects(request(address, { method: "PUT", body: Readable.from(half()), headers: { "Content-Length": String(bytes.length) } }));
assert.equal((await fetch(address, { method: "HEAD" })).status, 404);
files.storedImage(await json(await fetch(address, { method: "PUT", body: bytes }), 201));
const head = await fetch(address, { method: "HEAD" });
assert.equal(head.status, 200);
assert.equal(head.headers.get("ETag"), `"${files.sha256(bytes)}"`);
const named = await json(await fetch(`${files.url}/upload-case-report`, {
  method: "POST", body: new URLSearchParams({ patientId, imageId: "IMG-cut", reportId: "hand-undici-named", notes: files.notes }),
}), 202);
files.storedReport(named);
files.checkReport(await json(await fetch(`${files.url}${named.statusUrl}?wait=60s`), 200), [{ name, bytes }]);
