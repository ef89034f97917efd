// Reads the "stored …" lines of all clients and asks the server, killed and started again, for all of it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { sha256, url } from "./files.mjs";

const get = async (path) => {
  const response = await fetch(url + path);
  assert.equal(response.status, 200, `${path}: ${response.status}`);
  return response;
};
const reports = new Map();
const images = [];
for (const log of process.argv.slice(2)) {
  const lines = readFileSync(log, "utf8").match(/stored (report|image)( [\w.,-]+){3}/g) ?? [];
  const of = (kind) => lines.map((line) => line.split(" ")).filter((words) => words[1] === kind);
  assert.ok(of("report").length > 0 && of("image").length > 0, `${log} tells of no report or no image`);
  for (const [, , id, receipt, digests] of of("report")) reports.set(id, { receipt, digests: digests.split(",") });
  images.push(...of("image"));
}
for (const [id, want] of reports) {
  const report = await (await get(`/case-reports/${id}?wait=60s`)).json();
  assert.equal(report.status, "completed", id);
  assert.equal(report.receipt.sha256, want.receipt, id);
  assert.deepEqual(report.images.map((image) => image.sha256), want.digests, id);
  const pdf = Buffer.from(await (await get(`/case-reports/${id}/report.pdf`)).arrayBuffer());
  assert.equal(sha256(pdf), report.report.sha256, id);
}
for (const [, , patient, id, digest] of images) {
  assert.equal((await (await get(`/images/${id}?patientId=${patient}`)).json()).sha256, digest, `${patient} ${id}`);
}
const listed = [];
for (let cursor = ""; cursor !== null; ) {
  const page = await (await get(`/case-reports?limit=20${cursor && `&cursor=${cursor}`}`)).json();
  listed.push(...page.items.map((item) => item.id));
  cursor = page.next;
}
assert.deepEqual(listed.sort(), [...reports.keys()].sort(), "reports that no client was told of, or the reverse");
console.log(`${reports.size} reports and ${images.length} images are there after SIGKILL`);
