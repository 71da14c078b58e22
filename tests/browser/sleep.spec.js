// A page whose computer slept, or that lay in the background: it is still in the call.

import { expect, expectMovingPicture, expectSound, test, tileOf } from './fixtures.js';
import { testKiosk } from './job.js';

/** A call with a kiosk in its room. @param {import('./server.js').Server} server @param {import('./fixtures.js').Fixtures['visit']} visit */
async function inCall(server, visit) {
  const kiosk = testKiosk(server.room('front'));
  await expect.poll(() => kiosk.last('state')?.state, { message: 'the kiosk joins', timeout: 20_000 }).toBe('joined');
  const page = await visit(server.room('front'));
  const tile = tileOf(page, 'Front desk');
  await expectMovingPicture(tile.getByTestId('tile-video'));
  return { kiosk, page, tile };
}

/** Sound and picture come, in the same seat. @param {import('@playwright/test').Locator} tile */
async function expectMedia(tile) {
  await expect(async () => {
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expectSound(tile.getByTestId('tile-video'));
    await expect(tile.getByTestId('tile-state')).toBeEmpty({ timeout: 1000 });
  }).toPass({ timeout: 60_000 });
}

test('a page that was frozen is still in the call', async ({ server, visit }) => {
  const { kiosk, page, tile } = await inCall(server, visit);
  try {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    // Longer than any patience for silence, shorter than a session is kept.
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await expectMedia(tile);
    const participants = (await server.api('rooms')).rooms[0].participants;
    expect(participants).toHaveLength(2);
    await expect.poll(() => kiosk.last('receiving')?.video_frames ?? 0, { message: 'the kiosk receives' }).toBeGreaterThan(0);
  } finally {
    await kiosk.stop();
  }
});

test('a computer that slept longer than its session is kept comes back into the call', async ({ server, visit }) => {
  test.setTimeout(180_000);
  const { kiosk, page, tile } = await inCall(server, visit);
  try {
    // Asleep: nothing runs, nothing is sent, and the server hears nothing for longer than it keeps a session.
    const devtools = await page.context().newCDPSession(page);
    await page.context().setOffline(true);
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    await new Promise((resolve) => setTimeout(resolve, 40_000));
    await page.context().setOffline(false);
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await expectMedia(tile);
  } finally {
    await kiosk.stop();
  }
});

test('a page in the background goes on sending and receiving', async ({ server, visit }) => {
  const { kiosk, page, tile } = await inCall(server, visit);
  try {
    const front = await page.context().newPage();
    await front.goto('about:blank');
    await front.bringToFront();
    const frames = () => kiosk.last('receiving')?.video_frames ?? 0;
    const before = frames();
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(frames()).toBeGreaterThan(before);
    expect(kiosk.last('stalled')).toBeUndefined();
    await page.bringToFront();
    await expectMedia(tile);
    await front.close();
  } finally {
    await kiosk.stop();
  }
});
