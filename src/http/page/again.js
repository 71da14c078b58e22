// A network that changes while the page loads breaks off what is under way, and a browser never asks again for a module
// that did not come: the page would stay blank. It begins anew.
//
// This one is no module, and stands before them.

/** How long to wait: a network that has just changed is not there at once. */
const AGAIN_MS = 1000;

// These events do not bubble.
addEventListener('error', ({ target }) => {
  if (target instanceof HTMLScriptElement) setTimeout(() => location.reload(), AGAIN_MS);
}, true);
