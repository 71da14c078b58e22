// How long the picture stood still at worst, as the one who watches sees it.

import { expect } from '@playwright/test';

/** @typedef {import('@playwright/test').Locator} Locator */

/** A busy machine freezes the picture for a while, too: this only tells a short freeze from one that a person would act on. `make bench` measures. */
const LONGEST_FREEZE_MS = 3000;

/** Notes from now on the longest time between two pictures. @param {Locator} video */
export async function watchFreezes(video) {
  await video.evaluate((element) => {
    const video = /** @type {HTMLVideoElement} */ (element);
    let last = performance.now();
    const note = () => {
      const now = performance.now();
      video.dataset.freeze = String(Math.max(Number(video.dataset.freeze ?? 0), now - last));
      last = now;
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  });
}

/** @param {Locator} video */
export async function expectNoLongFreeze(video) {
  const freeze = await video.evaluate((element) => Number(/** @type {HTMLElement} */ (element).dataset.freeze));
  console.log(`longest freeze: ${Math.round(freeze)} ms`);
  expect(freeze).toBeLessThan(LONGEST_FREEZE_MS);
}

/** The same of a tile, whichever of its videos is seen: the one's own, or what a relay or a filter gives. @param {Locator} tile */
export async function watchTile(tile) {
  await tile.evaluate((element) => {
    let last = performance.now();
    /** @type {Set<HTMLVideoElement>} */
    const watched = new Set();
    const note = (/** @type {HTMLVideoElement} */ video) => {
      const picture = /** @type {HTMLElement} */ (element).dataset.picture === 'enhanced' ? 'enhanced-video' : 'tile-video';
      if (video.dataset.testid === picture) {
        const now = performance.now();
        Object.assign(/** @type {HTMLElement} */ (element).dataset, { freeze: Math.max(Number(/** @type {HTMLElement} */ (element).dataset.freeze ?? 0), now - last) });
        last = now;
      }
      video.requestVideoFrameCallback(() => note(video));
    };
    setInterval(() => {
      for (const video of element.querySelectorAll('video')) {
        if (watched.has(video)) continue;
        watched.add(video);
        video.requestVideoFrameCallback(() => note(video));
      }
    }, 50);
  });
}
