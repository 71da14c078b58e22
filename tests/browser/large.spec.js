// A room too large for a mesh: each page sends once, to a relay, and the others have it from there. When it is small again
// they send to each other as before.

import { noteConnections as before } from './connections.js';
import { expect, expectMovingPicture, expectSound, test } from './fixtures.js';
import { expectNoLongFreeze, watchTile } from './freezes.js';

/** @import {Page} from '@playwright/test' */

test.use({ config: '[rooms]\nmesh_up_to = 2\n' });

/** To how many a page sends a picture: by what has been encoded within a second. @param {Page} page */
function sendsTo(page) {
  return page.evaluate(async () => {
    const count = async (/** @type {RTCPeerConnection} */ connection) => {
      if (connection.connectionState !== 'connected') return 0;
      const report = [...(await connection.getStats()).values()];
      const sent = report.filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
      return Math.max(0, ...sent.map(({ framesEncoded }) => framesEncoded));
    };
    const all = /** @type {RTCPeerConnection[]} */ (/** @type {any} */ (window).connections);
    const earlier = await Promise.all(all.map(count));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = await Promise.all(all.map(count));
    return now.filter((frames, index) => frames > (earlier[index] ?? 0)).length;
  });
}

test('with the third, each one sends once, to a relay; and to the other one again when the third has left', async ({ server, visit }) => {
  test.slow();
  const enter = () => visit(server.room('hall'), { before });
  const [ada, ben] = [await enter(), await enter()];
  const tile = ada.getByTestId('tile').first();
  await expectMovingPicture(tile.getByTestId('tile-video'));
  await watchTile(tile);
  const cleo = await enter();
  const pages = [ada, ben, cleo];
  for (const page of pages) {
    await expect(page.locator('.tile[data-picture="enhanced"][data-sound="enhanced"]'), 'both others come by way of relays').toHaveCount(2, { timeout: 60_000 });
  }
  for (const page of pages) await expect.poll(() => sendsTo(page), { timeout: 60_000, message: 'it sends its picture once' }).toBe(1);
  await expect(ada.getByTestId('count')).toHaveText('3 in this call');
  await expect(ada.getByTestId('tile')).toHaveCount(2);
  await expectMovingPicture(tile.getByTestId('enhanced-video'));
  await expectSound(tile.getByTestId('enhanced-video'));
  await expectNoLongFreeze(tile);

  await cleo.close();
  await expect(tile).toHaveAttribute('data-picture', 'original', { timeout: 60_000 });
  await expectMovingPicture(tile.getByTestId('tile-video'));
  await expectSound(tile.getByTestId('tile-video'));
  await expectNoLongFreeze(tile);
  await expect.poll(() => sendsTo(ada), { timeout: 60_000 }).toBe(1);
  await expect.poll(async () => (await server.api('jobs')).jobs.map((/** @type {{state: string}} */ { state }) => state)).toEqual(['stopped']);
});
