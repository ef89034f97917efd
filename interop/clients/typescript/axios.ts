// The client that openapi-generator makes with typescript-axios.
import assert from "node:assert/strict";
import axios from "axios";
import { Configuration, FetchApi, FollowApi, HandInApi } from "./client/index.js";
import * as files from "./files.mjs";

// What the server says, in place of a page about the connection.
axios.interceptors.response.use(undefined, (error) => { throw new Error(`${error.message}: ${JSON.stringify(error.response?.data)}`); });
const configuration = new Configuration({ basePath: files.url });
const handIn = new HandInApi(configuration);
const patientId = "P-typescript-axios";

for (const [i, drawing] of files.drawings.entries()) {
  const { data: image } = await handIn.putImage(`IMG${i}`, patientId, new File([new Uint8Array(drawing.bytes)], drawing.name));
  assert.equal(image.sha256, files.sha256(drawing.bytes));
  files.storedImage(image);
}
const images = files.photos.map((photo) => new File([new Uint8Array(photo.bytes)], photo.name));
const { data: accepted } = await handIn.uploadCaseReport(patientId, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined,
  files.notes, "2026-11-21T19:58:00+08:00", images, ["IMG0", "IMG1"], "generated-typescript-axios");
files.storedReport(accepted);
const { data: report } = await new FollowApi(configuration).getCaseReport(accepted.id, "60s");
assert.equal(report.capturedAt, "2026-11-21T19:58:00+08:00");
files.checkReport(report, [...files.photos, ...files.drawings]);
const { data: pdf } = await new FetchApi(configuration).getReportPDF(accepted.id, undefined, undefined, undefined, undefined, { responseType: "arraybuffer" });
assert.ok(report.report);
files.checkPDF(Buffer.from(pdf as unknown as ArrayBuffer), report.report);
