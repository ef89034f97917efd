// Runs the Postman collection with newman and passes on what its scripts say.
import newman from "newman";
import { url } from "./files.mjs";

newman.run({
  collection: `${import.meta.dirname}/../postman.json`,
  workingDir: process.env.CASEPRESS_SOURCE,
  envVar: [{ key: "url", value: url }],
  reporters: "cli",
  reporter: { cli: { noConsole: true, noBanner: true } },
  color: "off",
}, (error, summary) => { process.exitCode = error || summary.run.failures.length > 0 ? 1 : 0; })
  .on("console", (_, said) => console.log(...said.messages));
