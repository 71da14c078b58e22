// How long a page sees no picture of a kiosk after the path between them was away, or the kiosk has another address, its
// worker was killed, its camera is gone.

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { distantKiosk } from '../tests/browser/job.js';
import { Link } from '../tests/browser/link.js';
import { BINARY } from '../tests/browser/server.js';
import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { spread } from './report.mjs';

const CUTS_S = [2, 5, 10];
const ROOM = 'reconnect';
const SETTLE_MS = 4000;
const LIMIT_MS = 60_000;
/** How long the kiosk has no address at all. */
const MOVE_MS = 2000;
/** What a killed worker has sent may still be shown so much later; no other one is there sooner. */
const LAST_PICTURES_MS = 300;
/** The camera is away for so long. */
const UNPLUGGED_MS = 3000;
const SMALL = { width: 640, height: 360, framerate: 30 };

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

/** A call between a page and a kiosk of the server itself. */
async function atHome(attache, browser, spec, trouble) {
  const kiosk = await attache.attend({ role: 'kiosk', room: ROOM, ...spec });
  const page = await openLobby(browser, attache.url, { sends: false });
  try {
    await enter(page, ROOM);
    await firstPicture(page);
    await page.evaluate(watchPictures);
    await pause(SETTLE_MS);
    return await trouble({ kiosk, page });
  } finally {
    await page.context().close();
    await attache.api(`jobs/${kiosk.id}`, { method: 'DELETE' });
    await attache.ended(kiosk.id);
  }
}

async function killed({ kiosk, page }) {
  const at = Date.now();
  process.kill(kiosk.pid, 'SIGKILL');
  return LAST_PICTURES_MS + (await pictureAfter(page, at + LAST_PICTURES_MS));
}

/** The longest time between two pictures while the camera goes, is away, and comes back. */
async function unplugged({ page }, camera) {
  const from = Date.now();
  rmSync(camera);
  await pause(UNPLUGGED_MS);
  writeFileSync(camera, 'works');
  await pause(UNPLUGGED_MS);
  const pictures = (await page.evaluate(() => window.pictures)).filter((at) => at >= from);
  return Math.max(...pictures.map((at, index) => at - (pictures[index - 1] ?? from)), Date.now() - pictures.at(-1));
}

/** On a machine with a camera that can be unplugged: a stand-in. */
async function cameraGaps(browser, times) {
  const folder = mkdtempSync(join(tmpdir(), 'attache-bench-'));
  const camera = join(folder, 'camera');
  mkdirSync(join(folder, 'plugins'));
  copyFileSync(join(dirname(BINARY), 'examples/libstandins.so'), join(folder, 'plugins/libstandins.so'));
  writeFileSync(camera, 'works');
  const attache = await Attache.begin('', {
    GST_PLUGIN_PATH: join(folder, 'plugins'),
    GST_REGISTRY: join(folder, 'registry.bin'),
    CACHE_DIRECTORY: join(folder, 'cache'),
    ATTACHE_STANDIN_camera: camera,
  });
  const spec = { description: 'kiosk', parameters: { ...SMALL, microphone: 'none', speaker: 'none', display: 'none' } };
  try {
    return await several(times, () => atHome(attache, browser, spec, (call) => unplugged(call, camera)));
  } finally {
    await attache.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function several(times, measure) {
  const all = [];
  for (let n = 0; n < times; n += 1) all.push(await measure());
  return all;
}

export async function measureReconnect() {
  // Less often: to try the script.
  const times = Number(process.env.ATTACHE_BENCH_TIMES ?? 5);
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'small.mjpeg' });
  try {
    const cuts = {};
    for (const seconds of CUTS_S) {
      const measured = await several(times, () => inCall(attache, browser, (call) => cut(call, seconds)));
      cuts[`after_${seconds}_s_ms`] = spread(measured);
    }
    const moves = await several(times, () => inCall(attache, browser, move, { apart: true }));
    const of = (name) => spread(moves.map((one) => one[name]));
    const test = { description: 'kiosk-test', parameters: SMALL };
    const kills = await several(times, () => atHome(attache, browser, test, killed));
    const gaps = await cameraGaps(browser, times);
    return { times, away_ms: MOVE_MS, cuts, killed_ms: spread(kills), camera_gap_ms: spread(gaps), address: { noticed_ms: of('noticed_ms'), picture_ms: of('picture_ms') } };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}
