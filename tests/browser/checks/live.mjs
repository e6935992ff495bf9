// A page shows what happens while it happens, without being loaded again, and says so to those who listen.

import { PATIENCE } from "../dashboard.mjs";

export async function live(dashboard, report) {
  await killed(dashboard, report);
  await disconnected(dashboard, report);
}

/** The process of a service is killed in earnest: the page shows it down, then up again. */
async function killed(dashboard, report) {
  const { service } = dashboard;
  const path = `/services/${service}`;
  const { pid } = await dashboard.until(path, ({ state, pid }) => state === "up" && pid, `${service} to be up`);

  const overview = await dashboard.window({ lang: "en" });
  await overview.goto(`${dashboard.base}/?q=${service}`);
  const detail = await dashboard.window({ lang: "zh" });
  await detail.goto(dashboard.base + path);
  await record(overview, `s-${service}`);
  await record(detail, "state");
  await overview.focus("#sieve");

  process.kill(pid, "SIGKILL");
  for (const [page, name] of [[overview, "the overview"], [detail, "the service's page"]]) {
    const states = await seen(page, ["up", "down", "up"]);
    report.expect(`${name} shows ${service} down and up again`, states.ok, states.text);
    report.expect(`${name} was not loaded again`, await page.evaluate(() => window.recorded !== undefined));
  }
  const said = await overview.evaluate(() => window.recorded.said.join(" "));
  report.expect("the change is said to screen readers", said.includes(service) && said.includes("down"), said);
  const focus = await overview.evaluate(() => document.activeElement.id);
  report.expect("the focus stays where it was", focus === "sieve", focus);
  const words = await overview.inputValue("#sieve");
  report.expect("and so do the words in the filter", words === service, words);

  const after = await dashboard.until(path, ({ state, pid: now }) => state === "up" && now && now !== pid, "a new process");
  await detail
    .waitForFunction((now) => document.querySelector("[data-pid]")?.textContent === String(now), after.pid, { timeout: PATIENCE })
    .then(() => report.expect("the service's page shows the new process", true))
    .catch((error) => report.expect("the service's page shows the new process", false, error.message));
  await overview.context().close();
  await detail.context().close();
}

/** Notes every state an element goes through, and everything that is said. */
async function record(page, id) {
  await page.waitForSelector(".has-script");
  await page.evaluate((id) => {
    const state = () => document.getElementById(id)?.dataset.state;
    window.recorded = { states: [state()], said: [] };
    new MutationObserver(() => {
      const now = state();
      if (now && now !== window.recorded.states.at(-1)) window.recorded.states.push(now);
    }).observe(document.getElementById("main"), { subtree: true, childList: true, attributes: true });
    const say = document.getElementById("say");
    new MutationObserver(() => window.recorded.said.push(say.textContent)).observe(say, { childList: true });
  }, id);
}

/** Waits until the recorded states contain `wanted` in this order. */
async function seen(page, wanted) {
  const contains = (wanted) => {
    let next = 0;
    for (const state of window.recorded.states) if (state === wanted[next]) next += 1;
    return next === wanted.length;
  };
  const ok = await page.waitForFunction(contains, wanted, { timeout: 3 * PATIENCE }).then(() => true, () => false);
  return { ok, text: (await page.evaluate(() => window.recorded.states)).join(" → ") };
}

/** Without a connection the page says that it may be out of date, and takes it back afterwards. */
async function disconnected(dashboard, report) {
  const page = await dashboard.window({ lang: "en" });
  let isCut = false;
  await page.route("**/*", (route) => (isCut ? route.abort() : route.continue()));
  await page.goto(dashboard.base);
  await page.waitForSelector(".has-script");
  report.expect("a connected page has no banner", !(await page.isVisible("#lost")));
  isCut = true;
  const came = await page.waitForSelector("#lost:visible", { timeout: PATIENCE }).then(() => true, () => false);
  report.expect("a lost connection is said", came);
  isCut = false;
  const went = await page.waitForSelector("#lost", { state: "hidden", timeout: 2 * PATIENCE }).then(() => true, () => false);
  report.expect("a connection that is back takes the banner away", went);
  await page.context().close();
}
