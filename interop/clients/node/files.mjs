// What every client in JavaScript hands in, and how it says what was answered with a 2xx.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export const url = process.env.CASEPRESS_URL;
export const notes = 'rash; 12" on the left arm & hand = 皮疹 😀';

const read = (path) => readFileSync(`${process.env.CASEPRESS_SOURCE}/${path}`);
export const photos = ["photo-1.jpg", "photo-2.jpg"].map((name) => ({ name, bytes: read(`examples/${name}`) }));
export const drawings = ["page.png", "pdf.png"].map((name) => ({ name, bytes: read(`docs/images/${name}`) }));

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// storedReport and storedImage write the lines that after.mjs reads when the server was killed.
export const storedReport = (accepted) =>
  console.log(`stored report ${accepted.id} ${accepted.receipt.sha256} ${accepted.images.map((image) => image.sha256).join(",")}`);
export const storedImage = (image) => console.log(`stored image ${image.patientId} ${image.imageId} ${image.sha256}`);

// checkReport and checkPDF hold what came back against what was handed in.
export const checkReport = (report, files) => {
  assert.equal(report.status, "completed", JSON.stringify(report));
  assert.equal(report.notes, notes);
  assert.deepEqual(report.images.map((image) => image.sha256), files.map((file) => sha256(file.bytes)));
  assert.deepEqual(report.problems, []);
};
export const checkPDF = (pdf, document) => {
  assert.equal(pdf.length, document.bytes);
  assert.equal(sha256(pdf), document.sha256);
  assert.equal(pdf.subarray(0, 5).toString("latin1"), "%PDF-");
};
