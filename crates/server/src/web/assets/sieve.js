// The filter box of a list: hides rows that do not contain every word, as they are typed.
// `/` goes to the box, `j` and `k` walk the rows, Escape empties the box.

const box = () => document.getElementById("sieve");
const links = () => [...document.querySelectorAll("[data-row]:not([hidden]) a[data-open]")];

/**
 * Hides the rows of a page that the words in the box do not fit.
 * @param {Document} root
 */
export function sieve(root) {
  if (!box()) return;
  const words = box().value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  const rows = root.querySelectorAll("[data-row]");
  for (const row of rows) {
    const fits = words.every((word) => row.dataset.row.includes(word));
    row.hidden = !fits;
    if (fits) shown += 1;
  }
  const nothing = root.getElementById("nothing-fits");
  if (nothing) nothing.hidden = shown > 0 || rows.length === 0;
}

export function listenToSieve() {
  document.addEventListener("input", (event) => {
    if (event.target !== box()) return;
    sieve(document);
    // The words survive a reload and a shared link.
    const address = new URL(location.href);
    if (box().value) address.searchParams.set("q", box().value);
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === box()) {
      if (event.key === "Escape") {
        box().value = "";
        box().dispatchEvent(new Event("input", { bubbles: true }));
        box().blur();
      }
      return;
    }
    if (document.body.dataset.keys === "off") return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "/" && box()) {
      event.preventDefault();
      box().focus();
    } else if (event.key === "j" || event.key === "k") {
      walk(event.key === "j" ? 1 : -1);
    }
  });
}

function walk(step) {
  const all = links();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next]?.focus();
}
