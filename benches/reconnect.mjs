// How long a page sees no picture of a kiosk after the path between them was away, or the kiosk has another address.

import { setTimeout as pause } from 'node:timers/promises';

import { distantKiosk } from '../tests/browser/job.js';
import { Link } from '../tests/browser/link.js';
import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { spread } from './report.mjs';

const CUTS_S = [2, 5, 10];
const TIMES = 5;
const ROOM = 'reconnect';
const SETTLE_MS = 4000;
const LIMIT_MS = 60_000;
/** How long the kiosk has no address at all. */
const MOVE_MS = 2000;

/** Runs in the page: notes when its tile of the kiosk shows a picture, in milliseconds since 1970. */
function watchPictures() {
  window.pictures = [];
  const watched = new WeakSet();
  const look = () => {
    for (const video of document.querySelectorAll('[data-testid=tile][data-kind=kiosk] video')) {
      if (watched.has(video)) continue;
      watched.add(video);
      const note = () => {
        if (video.dataset.testid === 'tile-video') window.pictures.push(Date.now());
        video.requestVideoFrameCallback(note);
      };
      video.requestVideoFrameCallback(note);
    }
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true });
  look();
}

/** Waits for the first picture after a moment; milliseconds from there. */
async function pictureAfter(page, moment) {
  const first = await page.waitForFunction((moment) => window.pictures.find((at) => at > moment) ?? false, moment, { timeout: LIMIT_MS });
  return (await first.jsonValue()) - moment;
}

async function eventAfter(kiosk, event, moment) {
  for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await pause(20)) {
    const found = kiosk.events.find((one) => one.event === event && one.at >= moment);
    if (found) return found.at - moment;
  }
  throw new Error(`no event "${event}" of the kiosk`);
}

/** One call between a page here and a kiosk at the far end of a link, signalling over that or another one; `trouble` measures it. */
async function inCall(attache, browser, trouble, { apart = false } = {}) {
  const link = new Link();
  const signalling = apart ? link.beside() : link;
  const kiosk = distantKiosk(link, await signalling.door(`${attache.url}/r/${ROOM}`));
  const page = await openLobby(browser, attache.url, { sends: true });
  try {
    await eventAfter(kiosk, 'state', 0);
    await enter(page, ROOM);
    await firstPicture(page);
    await page.evaluate(watchPictures);
    await pause(SETTLE_MS);
    return await trouble({ link, kiosk, page });
  } finally {
    await page.context().close();
    await kiosk.stop();
    if (apart) signalling.remove();
    link.remove();
  }
}

async function cut({ link, page }, seconds) {
  link.cut();
  await pause(seconds * 1000);
  const mended = Date.now();
  link.mend();
  return pictureAfter(page, mended);
}

async function move({ link, kiosk, page }) {
  const moved = Date.now();
  link.address('del', 2);
  const noticed_ms = await eventAfter(kiosk, 'stalled', moved);
  await pause(Math.max(0, moved + MOVE_MS - Date.now()));
  const there = Date.now();
  link.address('add', 3);
  return { noticed_ms, picture_ms: await pictureAfter(page, there) };
}

async function several(measure) {
  const all = [];
  for (let n = 0; n < TIMES; n += 1) all.push(await measure());
  return all;
}

export async function measureReconnect() {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'small.mjpeg' });
  try {
    const cuts = {};
    for (const seconds of CUTS_S) {
      const measured = await several(() => inCall(attache, browser, (call) => cut(call, seconds)));
      cuts[`after_${seconds}_s_ms`] = spread(measured);
    }
    const moves = await several(() => inCall(attache, browser, move, { apart: true }));
    const of = (name) => spread(moves.map((one) => one[name]));
    return { times: TIMES, away_ms: MOVE_MS, cuts, address: { noticed_ms: of('noticed_ms'), picture_ms: of('picture_ms') } };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}
