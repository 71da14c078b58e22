// What changes while a call goes on, and what comes before one: the check of descriptions, a worker's start, the
// longest time without a new picture when a description changes and when a hardware encoder breaks.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { BINARY, ROOT } from '../tests/browser/server.js';
import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { spread } from './report.mjs';

const TIMES = 10;
const GAPS = 5;
const SETTLE_MS = 3000;
/** A stand-in for `vah264enc` that breaks after so many frames: about eight seconds. */
const BREAKS = 'fail-after:240';
const KIOSK = { role: 'kiosk', room: 'changes', description: 'kiosk-test' };

/** Milliseconds that `attache pipelines check` takes for every shipped description. */
function checkTimes() {
  return Array.from({ length: TIMES }, () => {
    const begin = performance.now();
    execFileSync(BINARY, ['pipelines', 'check', '--pipelines', join(ROOT, 'pipelines')], { stdio: 'ignore' });
    return performance.now() - begin;
  });
}

/** Milliseconds from the request for a kiosk until it is in its room; encoders were proven before. */
async function startTimes(attache) {
  await attache.attend({ ...KIOSK, room: 'first' });
  const times = [];
  for (let n = 0; n < TIMES; n += 1) {
    const begin = performance.now();
    await attache.attend({ ...KIOSK, room: `start-${n}` });
    times.push(performance.now() - begin);
  }
  return times;
}

/** Runs in the page: notes the longest time between two pictures of the kiosk, from now on. */
function watchGaps() {
  const video = document.querySelector('[data-testid=tile][data-kind=kiosk] [data-testid=tile-video]');
  let last = performance.now();
  window.longestGap = 0;
  const note = () => {
    const now = performance.now();
    window.longestGap = Math.max(window.longestGap, now - last);
    last = now;
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

/** The longest gap that a page sees while `change` is done to its kiosk. */
async function gapDuring(attache, browser, query, change) {
  const { id } = await attache.attend(KIOSK);
  const page = await openLobby(browser, `${attache.url}/${query}`, { sends: false });
  await enter(page, KIOSK.room);
  await firstPicture(page);
  await pause(SETTLE_MS);
  await page.evaluate(watchGaps);
  await change(id);
  await pause(SETTLE_MS);
  const gap = await page.evaluate(() => window.longestGap);
  await page.context().close();
  await attache.api(`jobs/${id}`, { method: 'DELETE' });
  await attache.ended(id);
  return gap;
}

async function reloadGaps(attache, browser) {
  const gaps = [];
  for (let n = 0; n < GAPS; n += 1) {
    // Another size: a new source and a new encoder behind the running call.
    const parameters = { width: 960, height: 540 };
    const request = { method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(parameters) };
    gaps.push(await gapDuring(attache, browser, '', (id) => attache.api(`jobs/${id}/parameters`, request)));
  }
  return gaps;
}

/** A machine whose hardware encoder breaks in the middle of each call. */
async function fallbackGaps(browser) {
  const folder = mkdtempSync(join(tmpdir(), 'attache-bench-'));
  mkdirSync(join(folder, 'plugins'));
  copyFileSync(join(dirname(BINARY), 'examples/libstandins.so'), join(folder, 'plugins/libstandins.so'));
  const attache = await Attache.begin('', {
    GST_PLUGIN_PATH: join(folder, 'plugins'),
    GST_REGISTRY: join(folder, 'registry.bin'),
    CACHE_DIRECTORY: join(folder, 'cache'),
    ATTACHE_STANDIN_vah264enc: BREAKS,
  });
  try {
    const gaps = [];
    for (let n = 0; n < GAPS; n += 1) gaps.push(await gapDuring(attache, browser, '?codec=h264', (id) => attache.encoder(id, 'x264enc')));
    return gaps;
  } finally {
    await attache.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function measureChanges() {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'talk.mjpeg' });
  try {
    return {
      times: TIMES,
      gaps: GAPS,
      check_ms: spread(checkTimes()),
      start_ms: spread(await startTimes(attache)),
      reload_gap_ms: spread(await reloadGaps(attache, browser)),
      fallback_gap_ms: spread(await fallbackGaps(browser)),
    };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}
