// Checks the dashboard of a running lifesign in Debian's chromium.
//
//   node tests/browser/run.mjs --base http://127.0.0.1:7700 --token T [--service web] [--only live,keyboard]
//                              [--screenshots docs/images]
//
// `--service` names a service that lifesign watches on this machine and restarts by itself; its process is
// killed, and it is paused and resumed. Exit codes: 0 all is well, 1 something is not, 2 wrong usage.

import { parseArgs } from "node:util";

import { accessibility } from "./checks/accessibility.mjs";
import { keyboard } from "./checks/keyboard.mjs";
import { live } from "./checks/live.mjs";
import { screenshots } from "./checks/screenshots.mjs";
import { withoutScript } from "./checks/without-script.mjs";
import { Dashboard } from "./dashboard.mjs";

const CHECKS = { accessibility, keyboard, "without-script": withoutScript, live };

function usage(problem) {
  console.error(`browser tests: ${problem}`);
  console.error("usage: node run.mjs --base URL --token TOKEN [--service ID] [--only NAME,…] [--screenshots DIR]");
  console.error(`checks: ${Object.keys(CHECKS).join(", ")}`);
  process.exit(2);
}

function options() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        base: { type: "string" },
        token: { type: "string", default: process.env.LIFESIGN_TOKEN },
        service: { type: "string", default: "web" },
        only: { type: "string" },
        screenshots: { type: "string" },
      },
    }));
  } catch (error) {
    usage(error.message);
  }
  if (!values.base) usage("--base is missing");
  if (!values.token) usage("--token is missing (or LIFESIGN_TOKEN)");
  const only = values.only?.split(",") ?? Object.keys(CHECKS);
  const unknown = only.find((name) => !(name in CHECKS));
  if (unknown) usage(`there is no check ${unknown}`);
  return { ...values, base: values.base.replace(/\/$/, ""), only };
}

/** Collects what was found; a check goes on after a failure, so that one run tells everything. */
class Report {
  passed = 0;
  failures = [];

  /** @param {string} what a sentence that should be true */
  expect(what, isTrue, detail = "") {
    if (isTrue) {
      this.passed += 1;
    } else {
      this.failures.push(what);
      console.error(`not ok  ${what}${detail ? `\n        ${String(detail).replaceAll("\n", "\n        ")}` : ""}`);
    }
    return isTrue;
  }
}

const given = options();
const report = new Report();
const dashboard = await Dashboard.open(given, report).catch((error) => {
  console.error(`browser tests: no way into ${given.base}: ${error.message}`);
  process.exit(1);
});
try {
  for (const name of given.only) {
    const [before, begun] = [report.failures.length, Date.now()];
    try {
      await CHECKS[name](dashboard, report);
    } catch (error) {
      report.expect(`${name} runs to its end`, false, error.stack);
    }
    const verdict = report.failures.length === before ? "ok    " : "failed";
    console.log(`${verdict}  ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  }
  if (given.screenshots) await screenshots(dashboard, given.screenshots);
} finally {
  await dashboard.close();
}
console.log(`browser: ${report.passed} passed, ${report.failures.length} failed`);
process.exit(report.failures.length ? 1 : 0);
