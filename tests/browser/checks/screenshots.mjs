// The pictures of README and guide, taken from the running dashboard.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

const PICTURES = [
  { name: "overview-en-light", path: () => "/", lang: "en", theme: "light" },
  { name: "overview-zh-dark", path: () => "/", lang: "zh", theme: "dark" },
  { name: "service-en-light", path: (service) => `/services/${service}?span=1h`, lang: "en", theme: "light" },
  { name: "service-zh-dark", path: (service) => `/services/${service}?span=1h`, lang: "zh", theme: "dark" },
];

export async function screenshots(dashboard, directory) {
  mkdirSync(directory, { recursive: true });
  for (const { name, path, lang, theme } of PICTURES) {
    const page = await dashboard.window({ lang, theme, viewport: { width: 1180, height: 720 }, deviceScaleFactor: 1.5 });
    await page.goto(dashboard.base + path(dashboard.service));
    await page.waitForSelector(".has-script");
    await page.screenshot({ path: join(directory, `${name}.png`) });
    console.log(`wrote   ${join(directory, `${name}.png`)}`);
    await page.context().close();
  }
}
