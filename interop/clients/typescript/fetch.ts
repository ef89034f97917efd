// The client that openapi-generator makes with typescript-fetch.
import assert from "node:assert/strict";
import { Configuration, FetchApi, FollowApi, HandInApi } from "./client/index.js";
import * as files from "./files.mjs";

const configuration = new Configuration({
  basePath: files.url,
  middleware: [{ post: async ({ response }) => { if (!response.ok) console.error(await response.clone().text()); } }],
});
const handIn = new HandInApi(configuration);
const patientId = "P-typescript-fetch";

for (const [i, drawing] of files.drawings.entries()) {
  const image = await handIn.putImage({ imageId: `IMG${i}`, patientId, body: new Blob([new Uint8Array(drawing.bytes)]) });
  assert.equal(image.sha256, files.sha256(drawing.bytes));
  files.storedImage(image);
}
const accepted = await handIn.uploadCaseReport({
  patientId, reportId: "generated-typescript-fetch", notes: files.notes, capturedAt: "2026-11-21T19:58:00+08:00",
  images: files.photos.map((photo) => new File([new Uint8Array(photo.bytes)], photo.name)), imageId: ["IMG0", "IMG1"],
});
files.storedReport(accepted);
const report = await new FollowApi(configuration).getCaseReport({ id: accepted.id, wait: "60s" });
assert.equal(report.capturedAt, "2026-11-21T19:58:00+08:00");
files.checkReport(report, [...files.photos, ...files.drawings]);
const pdf = await new FetchApi(configuration).getReportPDF({ id: accepted.id });
assert.ok(report.report);
files.checkPDF(Buffer.from(await pdf.arrayBuffer()), report.report);
