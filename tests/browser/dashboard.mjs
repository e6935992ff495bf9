// A browser at the door of a running lifesign.

import { chromium } from "playwright-core";

/** Where Debian puts it; `scripts/browser-setup.sh` installs it. */
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Nothing but the dashboard: no sandbox (the tests may run as root), no chatter of the browser's own. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** How long anything may take, in milliseconds. */
export const PATIENCE = 20_000;

export class Dashboard {
  constructor(given, report, browser, session) {
    Object.assign(this, given);
    this.report = report;
    this.browser = browser;
    this.session = session;
  }

  /** Starts a browser with a fresh profile and logs in once. */
  static async open(given, report) {
    let browser;
    try {
      browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, headless: true });
    } catch (error) {
      throw new Error(`failed to start ${CHROMIUM}; sh scripts/browser-setup.sh installs it`, { cause: error });
    }
    const dashboard = new Dashboard(given, report, browser, []);
    try {
      const context = await browser.newContext();
      await dashboard.logIn(await context.newPage());
      dashboard.session = await context.cookies();
      await context.close();
    } catch (error) {
      await browser.close();
      throw error;
    }
    return dashboard;
  }

  /** Goes through the login page. */
  async logIn(page, path = "/") {
    await page.goto(this.base + path);
    await page.fill("#token", this.token);
    await page.click(".door button");
    await page.waitForSelector("nav", { timeout: PATIENCE });
  }

  /**
   * A window of somebody who is logged in (unless `stranger`) and has made these choices. Errors in the
   * browser's console and requests to other hosts are failures of the test.
   */
  async window({ lang, theme, script = true, stranger = false, ...options } = {}) {
    const context = await this.browser.newContext({
      javaScriptEnabled: script,
      viewport: { width: 1280, height: 800 },
      locale: "en-GB",
      timezoneId: "Asia/Shanghai",
      ...options,
    });
    context.setDefaultTimeout(PATIENCE);
    const choice = (name, value) => ({ name, value, url: this.base });
    if (!stranger) await context.addCookies(this.session);
    if (lang) await context.addCookies([choice("lifesign_lang", lang)]);
    if (theme) await context.addCookies([choice("lifesign_theme", theme)]);
    const page = await context.newPage();
    page.on("console", (message) => {
      const isWanted = message.type() !== "error" || /status of 40[34]|net::ERR_FAILED/.test(message.text());
      this.report.expect(`the console stays clean at ${page.url()}`, isWanted, message.text());
    });
    page.on("pageerror", (error) => this.report.expect(`no script fails at ${page.url()}`, false, error.stack));
    page.on("request", (request) => {
      if (request.url().startsWith(this.base) || request.url().startsWith("data:")) return;
      this.report.expect("nothing is asked of another host", false, request.url());
    });
    return page;
  }

  /** An answer of the API. */
  async api(path) {
    const reply = await fetch(`${this.base}/api/v1${path}`, { headers: { authorization: `Bearer ${this.token}` } });
    if (!reply.ok) throw new Error(`GET ${path} answered ${reply.status}: ${await reply.text()}`);
    return reply.json();
  }

  /** Asks the API again until `isSo` likes the answer. */
  async until(path, isSo, what) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const answer = await this.api(path);
      if (isSo(answer)) return answer;
      if (Date.now() > end) throw new Error(`waited in vain for ${what}; last answer: ${JSON.stringify(answer)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Every page there is, with an incident where there has been one. */
  async paths() {
    const { items } = await this.api("/incidents");
    const { since } = await this.api(`/services/${this.service}`);
    return [
      "/",
      `/services/${this.service}`,
      `/services/${this.service}/explain?at=${since}`,
      `/services/${this.service}/explain?at=0`,
      "/services/no-such-service/explain?at=0",
      "/incidents",
      ...items.slice(0, 1).map((incident) => `/incidents/${incident.id}`),
      "/hosts",
      "/rules",
      "/notifications",
      "/about",
      "/services/no-such-service",
    ];
  }

  close() {
    return this.browser.close();
  }
}
