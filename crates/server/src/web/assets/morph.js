// Changes one tree into another by touching only what differs, so that focus, selection, scroll position
// and open questions stay where they are. Children are matched by id where they have one, else by place.

/** What belongs to the reader, not to the server. */
const KEPT = new Map([["DETAILS", ["open"]], ["INPUT", ["value", "checked"]]]);

/**
 * @param {Element} from is in the document
 * @param {Element} to is how it should be
 */
export function morph(from, to) {
  const focused = document.activeElement;
  change(from, to);
  // A node that was moved has lost the focus on the way.
  if (focused && focused !== document.activeElement && document.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

function change(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(document.importNode(to, true));
  } else if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
  } else if (!from.isEqualNode(to)) {
    changeAttributes(from, to);
    changeChildren(from, to);
  }
}

function changeAttributes(from, to) {
  const kept = KEPT.get(from.nodeName) ?? [];
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !kept.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && !kept.includes(name)) from.setAttribute(name, value);
  }
}

function changeChildren(from, to) {
  const wanted = new Set([...to.children].map((child) => child.id).filter(Boolean));
  const known = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = from.firstChild;
  for (const child of [...to.childNodes]) {
    const same = child.id ? known.get(child.id) : undefined;
    if (same) {
      if (same === place) place = place.nextSibling;
      else from.insertBefore(same, place);
      change(same, child);
      continue;
    }
    // A child that is wanted further down is not spent on another.
    while (place && place.id && !wanted.has(place.id)) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    if (place && !place.id && !child.id) {
      const present = place;
      place = place.nextSibling;
      change(present, child);
    } else {
      from.insertBefore(document.importNode(child, true), place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}
