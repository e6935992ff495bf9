// With scripts off everything can still be read and done: log in, filter, look, order, choose.

export async function withoutScript(dashboard, report) {
  const { service } = dashboard;
  const page = await dashboard.window({ script: false, stranger: true, locale: "en-GB" });

  await page.goto(`${dashboard.base}/services/${service}`);
  report.expect("a stranger is led to the door", new URL(page.url()).pathname === "/login", page.url());
  await page.fill("#token", "not a token");
  await page.click(".door button");
  report.expect("a wrong token is refused in words", await page.isVisible("#wrong"));
  await page.fill("#token", dashboard.token);
  await page.click(".door button");
  report.expect("the right one leads to the page", new URL(page.url()).pathname === `/services/${service}`, page.url());

  await page.goto(dashboard.base);
  const { items } = await dashboard.api("/services");
  const text = await page.innerText("main");
  for (const { id } of items) report.expect(`the overview lists ${id}`, text.includes(id));
  report.expect("times are told in UTC", /\d\d:\d\d:\d\d UTC/.test(await page.innerText("footer")));

  await page.fill("#sieve", service);
  await page.click(".sieve button");
  report.expect("the filter is a form", new URL(page.url()).searchParams.get("q") === service, page.url());
  await page.fill("#sieve", "no such thing");
  await page.click(".sieve button");
  report.expect("and filters", (await page.locator("#services > li").count()) === 0);

  const beating = items.find(({ detection }) => detection);
  report.expect("a service that sends heartbeats is watched", beating !== undefined);
  await page.goto(`${dashboard.base}/services/${beating?.id}`);
  report.expect("its page says how soon a crash is noticed", /A crash is noticed/.test(await page.innerText("main")));
  await page.goto(`${dashboard.base}/services/${service}`);
  const name = await page.getAttribute(".changes a.why", "aria-label");
  report.expect("each why says what it explains", /^Why it was .+ at .+ UTC$/.test(name), name);
  await page.click(".changes a.why");
  report.expect("a past moment is explained", /As judged at/.test(await page.innerText(".why-list")), page.url());
  await page.click(".crumb a");
  report.expect("and leads back", new URL(page.url()).pathname === `/services/${service}`, page.url());

  await order(page, "pause");
  report.expect("an order says how it went", (await page.innerText(".flash")).length > 0);
  const paused = await dashboard.api(`/services/${service}`);
  report.expect("pause pauses", paused.paused === true, JSON.stringify(paused));
  await order(page, "resume");
  const resumed = await dashboard.api(`/services/${service}`);
  report.expect("resume resumes", resumed.paused === false, JSON.stringify(resumed));

  await page.click("a[hreflang=zh-CN]");
  report.expect("the language is a choice", (await page.getAttribute("html", "lang")) === "zh-CN");
  report.expect("which leads back to the page", new URL(page.url()).pathname === `/services/${service}`, page.url());
  await page.click(".themes a:last-child");
  report.expect("so is the theme", (await page.getAttribute("html", "data-theme")) === "dark");
  await page.click(".tools form button");
  await page.goto(dashboard.base);
  report.expect("whoever logs out is a stranger again", new URL(page.url()).pathname === "/login", page.url());
  await page.context().close();
}

/** Opens the question of an order and says yes. */
async function order(page, verb) {
  await page.locator("details.ask", { has: page.locator(`form[action$="/${verb}"]`) }).locator("summary").click();
  await page.click(`form[action$="/${verb}"] button`);
}
