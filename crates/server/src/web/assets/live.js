// Follows the server's events and keeps the page as the server would draw it now.
//
// An event only says *that* something changed; what the page then shows is fetched from the page's own
// address. So there is one way to draw a page, on the server, and a missed event does no harm.

import { morph } from "./morph.js";

const EVENTS = ["state", "incident", "alert", "notification", "action"];
/** Ages, metrics and outputs change without an event; they are fetched this often, in milliseconds. */
const REFRESH = 5000;
/** Shortest time between two fetches. */
const GAP = 250;
/** A short break of the connection is not worth a banner. */
const PATIENCE = 2000;

/**
 * @param {string} address of the event stream
 * @param {(root: Document) => void} finish what is done to each page before it is shown
 */
export function follow(address, finish) {
  let source = null;
  let lostSince = null;
  let attempts = 0;
  let banner = null;

  function lost() {
    lostSince ??= Date.now();
    banner ??= setTimeout(() => { document.getElementById("lost").hidden = false; }, PATIENCE);
  }

  function found() {
    lostSince = null;
    attempts = 0;
    clearTimeout(banner);
    banner = null;
    document.getElementById("lost").hidden = true;
  }

  function connect() {
    source = new EventSource(address);
    source.onopen = () => { found(); refresher.soon(); };
    source.onerror = () => {
      lost();
      // The browser tries again by itself unless the server answered with an error.
      if (source.readyState !== EventSource.CLOSED) return;
      attempts += 1;
      setTimeout(connect, Math.min(1000 * 2 ** attempts, 30_000));
      // Perhaps the login has ended; the page's own address then leads to the login page.
      refresher.soon();
    };
    for (const name of [...EVENTS, "reset"]) source.addEventListener(name, () => refresher.soon());
  }

  const refresher = refreshing(finish, { lost, found: () => { if (source.readyState === EventSource.OPEN) found(); } });
  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
}

/** Fetches the page again, one fetch at a time, never faster than the server can draw it. */
function refreshing(finish, connection) {
  let timer = null;
  let running = false;
  let again = false;
  let notBefore = 0;

  function soon() {
    again = true;
    if (running || timer) return;
    timer = setTimeout(run, Math.max(0, notBefore - Date.now()));
  }

  async function run() {
    timer = null;
    running = true;
    again = false;
    const begun = Date.now();
    try {
      const reply = await fetch(location.href, { headers: { "x-refresh": "1" }, credentials: "same-origin" });
      if (reply.redirected && new URL(reply.url).pathname === "/login") {
        location.assign(reply.url);
        return;
      }
      if (!reply.ok && reply.status !== 404) throw new Error(`the server answered ${reply.status}`);
      show(new DOMParser().parseFromString(await reply.text(), "text/html"), finish);
      connection.found();
    } catch {
      connection.lost();
    } finally {
      running = false;
      notBefore = Date.now() + Math.max(GAP, 2 * (Date.now() - begun));
      if (again) soon();
    }
  }

  setInterval(() => { if (!document.hidden) soon(); }, REFRESH);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  return { soon };
}

/** Puts the fetched page in the place of the present one, and says which states have changed. */
function show(page, finish) {
  finish(page);
  const before = states();
  document.title = page.title;
  for (const id of ["top", "hold", "main", "made"]) {
    const [from, to] = [document.getElementById(id), page.getElementById(id)];
    if (from && to) morph(from, to);
  }
  const icon = page.querySelector("link[rel=icon]");
  if (icon) document.querySelector("link[rel=icon]").href = icon.getAttribute("href");

  const said = [];
  for (const [id, now] of states()) {
    const was = before.get(id);
    if (!was || was.state === now.state) continue;
    said.push(now.element.dataset.say);
    now.element.classList.remove("has-changed");
    void now.element.offsetWidth; // lets the animation begin again
    now.element.classList.add("has-changed");
  }
  if (said.length) document.getElementById("say").textContent = said.slice(0, 5).join(" ");
}

/** Everything on the page that has a state, by id. */
function states() {
  const found = new Map();
  for (const element of document.querySelectorAll("[id][data-state][data-say]")) {
    found.set(element.id, { state: element.dataset.state, element });
  }
  return found;
}
