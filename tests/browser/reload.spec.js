// A kiosk moves to other values and to an edited description while a page watches.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectMovingPicture, look, test, tileOf } from './fixtures.js';
import { expectNoLongFreeze, watchFreezes } from './freezes.js';

const SMALL = { width: 640, height: 360, framerate: 20, flash: false, pattern: 'black' };

/** @typedef {import('./server.js').Server} Server */
/** @typedef {import('@playwright/test').Locator} Locator */

/** A kiosk that sends black, and a page that watches it. @param {Server} server @param {import('./fixtures.js').Fixtures['visit']} visit */
async function watchedKiosk(server, visit, query = '') {
  const kiosk = await server.startJob({ role: 'kiosk', room: 'front', name: 'Front desk', description: 'kiosk-test', parameters: SMALL });
  const page = await visit(server.room('front'), { query });
  const video = tileOf(page, 'Front desk').getByTestId('tile-video');
  await expect.poll(() => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).videoWidth)).toBe(640);
  return { kiosk, video };
}

/** The left half below the time code: black or the colours of the test picture. @param {Locator} video */
async function brightness(video) {
  const picture = await look(video);
  const part = picture.filter((_, i) => i % 32 < 16 && i / 32 > 6 && i / 32 < 12);
  return part.reduce((sum, value) => sum + value, 0) / part.length;
}

/** Peers that the job has and had: a new one would have another generation. @param {Server} server @param {string} id */
async function peersOf(server, id) {
  const { peers } = await server.api(`jobs/${id}`);
  return peers.map((/** @type {any} */ { participant, generation, state }) => ({ participant, generation, state }));
}

for (const codec of ['vp8', 'h264']) {
  test(`another value is seen without a new peer and without a long freeze, in ${codec}`, async ({ server, visit }) => {
    const { kiosk, video } = await watchedKiosk(server, visit, `?codec=${codec}`);
    const peers = await peersOf(server, kiosk.id);
    await watchFreezes(video);
    const patch = (/** @type {object} */ parameters) => server.api(`jobs/${kiosk.id}/parameters`, {
      method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(parameters),
    });

    await patch({ pattern: 'smpte' });
    await expect.poll(() => brightness(video), { message: 'the coloured bars' }).toBeGreaterThan(60);
    await patch({ width: 320, height: 180 });
    await expect.poll(() => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).videoWidth), { message: 'the smaller picture' }).toBe(320);
    await expectMovingPicture(video);
    await expectNoLongFreeze(video);
    expect(await peersOf(server, kiosk.id)).toEqual(peers);

    await expect(patch({ width: 321 })).rejects.toThrow(/width.*321.*even/);
    await expect(patch({ colour: 'red' })).rejects.toThrow(/colour.*unknown/);
    await expectMovingPicture(video);
  });
}

test('an edited description is taken over, and a wrong one changes nothing and is told', async ({ server, visit }) => {
  const { kiosk, video } = await watchedKiosk(server, visit);
  const peers = await peersOf(server, kiosk.id);
  const file = join(server.pipelines, 'kiosk-test.toml');
  const text = readFileSync(file, 'utf8');
  const described = async () => (await server.api('descriptions')).descriptions.find((/** @type {any} */ { name }) => name === 'kiosk-test');
  await expect.poll(async () => (await described())?.valid, { message: 'checked at the start' }).toBe(true);
  await watchFreezes(video);

  writeFileSync(file, text.replace('! clockoverlay', '! nosuchoverlay'));
  await expect.poll(async () => (await described()).valid, { message: 'found wrong' }).toBe(false);
  expect((await described()).problems.join('\n')).toMatch(/kiosk-test\.toml:\d+.*nosuchoverlay/);
  await expectMovingPicture(video);
  expect(await brightness(video)).toBeLessThan(60);

  writeFileSync(file, text.replace('videotestsrc pattern={pattern}', 'videotestsrc pattern=white').replace('! clocksync', '! clocksync ! videobalance brightness=-0.1'));
  await expect.poll(() => brightness(video), { message: 'the white picture' }).toBeGreaterThan(100);
  await expectNoLongFreeze(video);
  expect(await described()).toMatchObject({ valid: true, problems: [], reloads: 1, refused: 1 });
  expect(await peersOf(server, kiosk.id)).toEqual(peers);
});
