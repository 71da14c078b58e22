// Who speaks: on loudness of the test's own making, and in a call, where the one who speaks is framed and large.

import { expect, test, tileOf } from './fixtures.js';

/** @import {Page} from '@playwright/test' */

/**
 * The page's own answer after rounds of 100 ms, in which each of two has a loudness in dB below full scale.
 * @param {Page} page @param {[number, number, number][]} rounds how many, and the loudness of a and b
 */
function listen(page, ...rounds) {
  return page.evaluate(async (rounds) => {
    const { Speakers } = await import(String('/page/speakers.js'));
    const speakers = new Speakers();
    let now = 1000;
    for (const [count, a, b] of rounds) {
      for (let n = 0; n < count; n += 1) {
        now += 100;
        speakers.heard('a', 10 ** (-a / 20), now);
        speakers.heard('b', 10 ** (-b / 20), now);
      }
    }
    return { active: speakers.active, speaking: ['a', 'b'].filter((who) => speakers.isSpeaking(who, now)).join('') };
  }, rounds);
}

test('who speaks alone is the active speaker, until another one speaks alone', async ({ server, visit }) => {
  const page = await visit(server.url);
  expect(await listen(page, [10, 70, 70])).toEqual({ active: null, speaking: '' });
  expect(await listen(page, [10, 70, 70], [10, 70, 20])).toEqual({ active: 'b', speaking: 'b' });
  expect(await listen(page, [10, 70, 20], [30, 70, 70]), 'in silence').toEqual({ active: 'b', speaking: '' });
  expect(await listen(page, [10, 30, 70], [20, 30, 20]), 'who interrupts waits').toEqual({ active: 'a', speaking: 'ab' });
  expect(await listen(page, [10, 30, 70], [10, 70, 20])).toEqual({ active: 'b', speaking: 'b' });
  expect(await listen(page, [10, 30, 70], [20, 70, 70], [2, 70, 10], [20, 70, 70]), 'a cough').toEqual({ active: 'a', speaking: '' });
  expect((await listen(page, [600, 40, 60])).speaking, 'a fan').toBe('');
  expect(await listen(page, [600, 40, 60], [10, 20, 60]), 'a voice over the fan').toEqual({ active: 'a', speaking: 'a' });
});

test('who speaks is framed, and large where that is wanted; the status tells it, too', async ({ server, visit }) => {
  test.slow();
  await server.startJob({ role: 'recorder', room: 'studio' });
  const quiet = { role: 'kiosk', room: 'studio', description: 'kiosk-test', name: 'Quiet', parameters: { width: 320, height: 180, beep: false } };
  await server.startJob(quiet);
  /** @type {Page[]} */
  const pages = [];
  for (const name of ['Listener', 'Ada']) {
    const page = await visit(server.url);
    await page.getByTestId('name').fill(name);
    await page.getByTestId('room').fill('studio');
    if (name === 'Listener') await page.getByTestId('lobby-microphone').click();
    await page.getByTestId('start').click();
    pages.push(page);
  }
  const [listener] = pages;
  const [ada, other] = [tileOf(listener, 'Ada'), tileOf(listener, 'Quiet')];
  await expect(ada).toHaveClass(/speaking/, { timeout: 30_000 });
  await expect(ada).toHaveClass(/active/);
  await expect(other).not.toHaveClass(/speaking|active/);

  const area = async (/** @type {import('@playwright/test').Locator} */ tile) => {
    const { width = 0, height = 0 } = await tile.boundingBox() ?? {};
    return width * height;
  };
  expect(await area(ada) / await area(other)).toBeCloseTo(1);
  await listener.keyboard.press('p');
  await expect.poll(async () => await area(ada) / await area(other)).toBeGreaterThan(4);
  await listener.keyboard.press('p');
  await expect.poll(async () => await area(ada) / await area(other)).toBeCloseTo(1);

  const { rooms } = await server.api('status');
  const { participants } = rooms.find((/** @type {any} */ { name }) => name === 'studio');
  const speaker = participants.find((/** @type {any} */ { name }) => name === 'Ada').id;
  const told = async () => (await server.api('status')).jobs.map((/** @type {any} */ { speech }) => speech?.active);
  await expect.poll(told, { message: 'recorder and kiosk hear the same', timeout: 20_000 }).toEqual([speaker, speaker]);

  await pages[1].keyboard.press('m');
  await expect(ada, 'muted').not.toHaveClass(/speaking/);
});
