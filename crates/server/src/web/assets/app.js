// Makes the server's pages live. Everything here is an addition: each page works without it.

import { follow } from "./live.js";
import { sieve, listenToSieve } from "./sieve.js";
import { localise, tick } from "./times.js";

document.documentElement.classList.add("has-script");

/** What is done to every page, whether it was loaded or fetched. */
function finish(root) {
  localise(root);
  sieve(root);
}

finish(document);
setInterval(tick, 1000);
listenToSieve();

// An order's answer is said once: a reload should not say it again.
const asked = new URL(location.href);
if (asked.searchParams.has("done") || asked.searchParams.has("refused")) {
  asked.searchParams.delete("done");
  asked.searchParams.delete("refused");
  history.replaceState(null, "", asked);
}

// The login page has nothing that changes.
if (document.body.dataset.events) follow(document.body.dataset.events, finish);
