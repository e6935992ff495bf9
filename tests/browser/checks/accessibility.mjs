// WCAG 2.2 AA by axe-core on every page, in both languages and themes, at 100 % and 200 % zoom; and no
// scrolling sideways down to a width of 320 pixels (success criterion 1.4.10). Some of the pages once more while all of
// lifesign is paused, with a banner on top.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What 200 % makes of a window of 1280 × 800. */
const ZOOMS = {
  "100 %": { viewport: { width: 1280, height: 800 } },
  "200 %": { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 },
};

export async function accessibility(dashboard, report) {
  const paths = await dashboard.paths();
  for (const lang of ["en", "zh"]) {
    for (const theme of ["light", "dark"]) {
      for (const [zoom, options] of Object.entries(ZOOMS)) {
        const look = `${lang} ${theme} ${zoom}`;
        const page = await dashboard.window({ lang, theme, ...options });
        const door = await dashboard.window({ lang, theme, stranger: true, ...options });
        const held = await dashboard.window({ lang, theme, ...options });
        await pause(held, lang);
        const visits = [
          ...paths.map((path) => [page, path, look]),
          [door, "/login?failed=1", look],
          ...["/", `/services/${dashboard.service}`, "/incidents"].map((path) => [held, path, `${look} paused`]),
        ];
        for (const [window, path, look] of visits) {
          await window.goto(dashboard.base + path);
          await window.waitForSelector(".has-script");
          if (window === held) {
            report.expect(`${path} ${look} shows the banner`, await window.isVisible("#hold .hold"));
          }
          await fits(window, `${path} ${look}`, report);
          await speaks(window, `${path} ${look}`, lang, report);
          await satisfiesAxe(window, `${path} ${look}`, report);
        }
        for (const window of [page, door, held]) await window.context().close();
      }
    }
    await reflows(dashboard, paths, lang, report);
  }
}

/**
 * Gives every page the banner of a lifesign that is paused, word for word as the server writes it. Only the service
 * control manager of Windows can pause lifesign; `frame.rs` tests that the server writes just this.
 */
async function pause(page, lang) {
  const words = readFileSync(new URL(`../../../crates/lang/locales/${lang}/ui.ftl`, import.meta.url), "utf8");
  const [, text] = words.match(/^ui-on-hold = (.+)$/m);
  await page.route("**/*", async (route) => {
    if (!["document", "fetch"].includes(route.request().resourceType())) return route.fallback();
    const response = await route.fetch();
    const body = await response.text();
    const place = '<div id="hold" role="status">';
    return route.fulfill({ response, body: body.replace(`${place}</div>`, `${place}<p class="hold">${text}</p></div>`) });
  });
}

/** At 320 pixels only the layout differs from 200 %. */
async function reflows(dashboard, paths, lang, report) {
  const page = await dashboard.window({ lang, viewport: { width: 320, height: 640 } });
  for (const path of paths) {
    await page.goto(dashboard.base + path);
    await fits(page, `${path} ${lang} 320 px`, report);
  }
  await page.context().close();
}

async function fits(page, name, report) {
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  report.expect(`${name} does not scroll sideways`, excess <= 0, `${excess} px too wide`);
}

async function speaks(page, name, lang, report) {
  const tag = await page.getAttribute("html", "lang");
  report.expect(`${name} says its language`, tag === (lang === "zh" ? "zh-CN" : "en"), tag);
  const untranslated = await page.evaluate(() => document.body.innerText.match(/⟦.*?⟧|\{\$\w+\}/)?.[0]);
  report.expect(`${name} has all its words`, !untranslated, untranslated);
}

async function satisfiesAxe(page, name, report) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate((values) => window.axe.run({ runOnly: { type: "tag", values } }), RULES);
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}\n  ${failureSummary}`),
  );
  report.expect(`${name} is accessible`, found.length === 0, found.slice(0, 5).join("\n"));
}
