// A kiosk behind a link that carries less and less: the picture becomes smaller, then pauses, and comes back.

import { expect, expectMovingPicture, expectSound, test as base, tileOf } from './fixtures.js';
import { expectNoLongFreeze, watchFreezes } from './freezes.js';
import { distantKiosk } from './job.js';
import { Link } from './link.js';

/** @typedef {{apart: {link: Link, kiosk: import('./job.js').Job, tile: import('@playwright/test').Locator}}} Apart a kiosk at the far end of a link, on a page */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & import('./fixtures.js').Fixtures & Apart, {}>} */
const test = base.extend(/** @type {any} */ ({
  /** @param {import('./fixtures.js').Fixtures & Apart} fixtures @param {(apart: Apart['apart']) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  apart: async ({ server, visit }, use, info) => {
    const link = new Link();
    const signalling = link.beside();
    const kiosk = distantKiosk(link, await signalling.door(server.room('front')), '--set', 'pattern=ball');
    try {
      await expect.poll(() => kiosk.last('state')?.state, { message: 'the kiosk joins', timeout: 20_000 }).toBe('joined');
      const page = await visit(server.room('front'));
      const tile = tileOf(page, 'Front desk');
      await expectMovingPicture(tile.getByTestId('tile-video'));
      await use({ link, kiosk, tile });
    } finally {
      await kiosk.stop();
      if (info.status !== info.expectedStatus) console.log(`--- kiosk\n${kiosk.log}\n${kiosk.events.map((event) => JSON.stringify(event)).join('\n')}\n---`);
      signalling.remove();
      link.remove();
    }
  },
}));

/** @param {import('@playwright/test').Locator} video */
const lines = (video) => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).videoHeight);

test('a link that carries less gets a smaller picture, then sound only, and all again when it carries more', async ({ apart: { link, kiosk, tile } }) => {
  const video = tile.getByTestId('tile-video');
  const whole = await lines(video);
  await watchFreezes(video);
  link.limit(250);
  await expect.poll(() => lines(video), { message: 'a smaller picture', timeout: 30_000 }).toBeLessThan(whole);
  await expectMovingPicture(video);
  await expectNoLongFreeze(video);
  link.limit(60);
  await expect(tile.getByTestId('tile-state')).toHaveText('Video paused, weak connection', { timeout: 30_000 });
  expect(kiosk.last('tier')?.tier).toBeUndefined();
  await expectSound(video);
  link.limit(4000);
  await expect(tile.getByTestId('tile-state')).toBeEmpty({ timeout: 60_000 });
  await expect.poll(() => lines(video), { message: 'the whole picture', timeout: 60_000 }).toBe(whole);
  await expectMovingPicture(video);
});
