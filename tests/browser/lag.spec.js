// How late a filter's sound is, by ear: on loudness of the test's own making.

import { expect, test } from './fixtures.js';

/** @import {Page} from '@playwright/test' */

/**
 * The page's own answer for four seconds of a voice, and of the same so much later, in other words or in noise.
 * @param {Page} page @param {{late: number, gain?: number, noise?: number, other?: boolean, silent?: boolean}} second
 * @returns {Promise<number|null>}
 */
function lag(page, second) {
  return page.evaluate(async ({ late, gain = 1, noise = 0, other = false, silent = false }) => {
    const { lagOf, STEP_MS } = await import(String('/page/lag.js'));
    let state = 7;
    const random = () => {
      state = (state * 16807) % 2147483647;
      return state / 2147483647;
    };
    /** Syllables of all lengths and strengths, some of them silent. @returns {number[]} by millisecond */
    const speak = () => {
      /** @type {number[]} */
      const voice = [];
      while (voice.length < 8000) {
        const length = 100 + Math.floor(250 * random());
        const strength = random() < 0.3 ? 0 : random();
        for (let ms = 0; ms < length; ms += 1) voice.push(strength * Math.sin((Math.PI * ms) / length));
      }
      return voice;
    };
    const [voice, another] = [speak(), speak()];
    const times = Array.from({ length: 1000 }, (_, i) => 2000 + i * STEP_MS);
    const first = times.map((ms) => voice[ms] + noise * random());
    const said = other ? another : voice;
    const heard = times.map((ms) => (silent ? 0 : gain * said[ms - late]));
    return lagOf(first, heard);
  }, second);
}

test('the lag of a voice is told from its loudness, whatever a filter takes out of it, and not guessed', async ({ server, visit }) => {
  const page = await visit(server.url);
  for (const late of [0, 40, 100, 300, -60]) {
    expect(await lag(page, { late })).toBe(late);
    expect(await lag(page, { late, gain: 0.3, noise: 0.3 })).toBe(late);
  }
  expect(await lag(page, { late: 100, other: true }), 'other words').toBeNull();
  expect(await lag(page, { late: 0, silent: true }), 'silence').toBeNull();
});
