// The pictures of README and guide, taken from the running dashboard.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

const PICTURES = [
  { name: "overview-light-en", path: () => "/", lang: "en", theme: "light" },
  { name: "overview-dark-zh", path: () => "/", lang: "zh", theme: "dark" },
  { name: "service-light-en", path: (service) => `/services/${service}?span=1h`, lang: "en", theme: "light" },
  { name: "service-dark-zh", path: (service) => `/services/${service}?span=1h`, lang: "zh", theme: "dark" },
];
/** So many deaths in a row make the wait before the next restart long enough for a picture. */
const KILLS = 4;

/** All pictures show the service down, which is what a monitor is for. */
export async function screenshots(dashboard, directory) {
  mkdirSync(directory, { recursive: true });
  const pages = [];
  for (const { path, lang, theme } of PICTURES) {
    const page = await dashboard.window({ lang, theme, viewport: { width: 1180, height: 740 }, deviceScaleFactor: 1.5 });
    await page.goto(dashboard.base + path(dashboard.service));
    await page.waitForSelector(".has-script");
    pages.push(page);
  }
  await bringDown(dashboard);
  for (const [n, { name }] of PICTURES.entries()) {
    await pages[n].waitForSelector(`#s-${dashboard.service}[data-state=down], #state[data-state=down]`);
    const file = join(directory, `${name}.png`);
    await pages[n].screenshot({ path: file });
    console.log(`wrote   ${file}`);
    await pages[n].context().close();
  }
}

/** Kills the service as often as lifesign brings it back, each time a new process. */
async function bringDown(dashboard) {
  const path = `/services/${dashboard.service}`;
  let last = null;
  for (let n = 0; n < KILLS; n += 1) {
    const { pid } = await dashboard.until(path, ({ pid }) => pid && pid !== last, "a new process");
    process.kill(pid, "SIGKILL");
    last = pid;
  }
  await dashboard.until(path, ({ state }) => state === "down", `${dashboard.service} to be down`);
}
