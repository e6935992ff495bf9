// Times in the reader's zone, ages that tick. The server prints UTC; it stays in the title.

const lang = document.documentElement.lang;
const dayAndTime = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });
const timeOnly = new Intl.DateTimeFormat(lang, { timeStyle: "medium" });
const [S, MIN, H, D] = (document.body.dataset.units ?? "s min h d").split(" ");
const AGO = document.body.dataset.ago ?? "{span}";

/** How far the server's clock is ahead of ours, in milliseconds, so that ages are the server's. */
let ahead = 0;

/**
 * Makes the times of a page the reader's. Works on documents that are not shown yet.
 * @param {Document} root
 */
export function localise(root) {
  const now = Date.parse(root.body.dataset.now);
  if (!Number.isNaN(now)) ahead = now - Date.now();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if ("age" in element.dataset) setAge(element, at);
    else if (sameDay(at, new Date())) element.textContent = timeOnly.format(at);
    else element.textContent = dayAndTime.format(at);
  }
}

/** Lets every age on the page grow. */
export function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-age]")) setAge(element, new Date(element.dateTime));
}

function setAge(element, at) {
  const words = span(Math.max(0, Date.now() + ahead - at.getTime()));
  const text = element.dataset.age === "ago" ? AGO.replace("{span}", words) : words;
  if (element.textContent !== text) element.textContent = text;
}

function sameDay(a, b) {
  return a.toDateString() === b.toDateString();
}

/** The two largest units, as the server writes them. */
function span(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 1) return `0 ${S}`;
  if (s < 60) return `${s} ${S}`;
  if (s < 3600) return two(Math.floor(s / 60), MIN, s % 60, S);
  if (s < 86_400) return two(Math.floor(s / 3600), H, Math.floor(s / 60) % 60, MIN);
  return two(Math.floor(s / 86_400), D, Math.floor(s / 3600) % 24, H);
}

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}
