// Everything can be reached and done with the keyboard alone, and one always sees where one is.

export async function keyboard(dashboard, report) {
  const page = await dashboard.window({ lang: "en" });
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);

  await page.goto(dashboard.base);
  await page.waitForSelector(".has-script");
  await page.keyboard.press("Tab");
  report.expect("the first stop is the way to the content", (await focused()) === "skip", await focused());
  await page.keyboard.press("Enter");
  report.expect("it leads to the content", (await focused()) === "main", await focused());

  await walk(page, dashboard.base, report);
  await walk(page, `${dashboard.base}/services/${dashboard.service}`, report);
  await page.goto(`${dashboard.base}/services/${dashboard.service}`);
  await page.focus(".changes a.why");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/explain\?at=/);
  report.expect("why leads to the explanation of a change", await page.isVisible(".why-list"), page.url());
  await walk(page, page.url(), report);

  await page.goto(dashboard.base);
  await page.waitForSelector(".has-script");
  await page.keyboard.press("/");
  report.expect("/ goes to the filter", (await focused()) === "sieve", await focused());
  const rows = page.locator("#services > li:visible");
  const all = await rows.count();
  await page.keyboard.type("no such thing");
  report.expect("what does not fit is hidden", (await rows.count()) === 0);
  report.expect("and that is said", await page.isVisible("#nothing-fits"));
  await page.keyboard.press("Escape");
  report.expect("Escape shows all again", (await rows.count()) === all);

  await page.keyboard.press("j");
  report.expect("j goes to the first row", await page.evaluate(() => "open" in document.activeElement.dataset));
  const target = await page.evaluate(() => document.activeElement.getAttribute("href"));
  await page.keyboard.press("Enter");
  await page.waitForURL(dashboard.base + target);
  report.expect("Enter opens it", true);

  await page.goto(`${dashboard.base}/services/${dashboard.service}`);
  await page.focus(".ask summary");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const asked = await page.evaluate(() => document.activeElement.closest("form")?.method);
  report.expect("an order asks back before it is given", asked === "post", asked);

  // WCAG 2.2, 2.1.4: whoever dictates or slips can turn single keys off.
  await page.goto(`${dashboard.base}/preferences?keys=off&next=/`);
  await page.waitForSelector(".has-script");
  await page.keyboard.press("/");
  report.expect("single keys can be turned off", (await focused()) !== "sieve", await focused());
  await page.context().close();
}

/** Tabs through a page: each stop is seen, and there is a way out at the end. */
async function walk(page, address, report) {
  await page.goto(address);
  await page.waitForSelector(".has-script");
  const links = await page.evaluate(
    () => [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter((e) => e.checkVisibility()).length,
  );
  const stops = new Set();
  for (let step = 0; step < links + 5; step += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      element.dataset.stop ??= String(Math.random());
      const isSeen = [element, ...["::before", "::after"].map(() => element)].some((e, n) => {
        const style = getComputedStyle(e, [null, "::before", "::after"][n]);
        return style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2;
      });
      return { key: element.dataset.stop, isSeen, what: element.outerHTML.slice(0, 100) };
    });
    if (!stop) break;
    report.expect(`the focus is seen at ${address}`, stop.isSeen, stop.what);
    stops.add(stop.key);
  }
  report.expect(`the keyboard reaches everything at ${address}`, stops.size >= links, `${stops.size} of ${links}`);
}
