// When the page plays a filter's track, and when the original again: on a clock of the test's own.

import { expect, test } from './fixtures.js';

/** @import {Page} from '@playwright/test' */

/**
 * Frames come each 10 ms but in these gaps; the page's own code looks each 20 ms. Gives the changes.
 * @param {Page} page @param {number} until @param {[number, number][]} gaps
 * @returns {Promise<[number, boolean][]>}
 */
function watch(page, until, ...gaps) {
  return page.evaluate(async ({ until, gaps }) => {
    const { Choice } = await import(String('/page/choice.js'));
    const choice = new Choice(100);
    /** @type {[number, boolean][]} */
    const changes = [];
    let before = choice.look(0);
    for (let ms = 0; ms < until; ms += 10) {
      if (!gaps.some(([from, to]) => ms >= from && ms < to)) choice.frame(ms);
      if (ms % 20) continue;
      const now = choice.look(ms);
      if (now !== before) changes.push([ms, now]);
      before = now;
    }
    return changes;
  }, { until, gaps });
}

test('the enhanced track is played while it comes steadily, and the original within 200 ms when it does not', async ({ server, visit }) => {
  const page = await visit(server.url);
  expect(await watch(page, 0)).toEqual([]);
  expect(await watch(page, 5000)).toEqual([[300, true]]);

  const [, [back, enhanced]] = await watch(page, 3000, [1000, 3000]);
  expect(enhanced).toBe(false);
  expect(back).toBeGreaterThan(1060);
  expect(back, 'with 30 ms for the change from one to the other').toBeLessThan(1170);

  // One that failed has to come longer before it is played again.
  expect(await watch(page, 4000, [1000, 1200])).toEqual([[300, true], [1100, false], [2200, true]]);

  // One with gaps is never played; packets that are a little late do no harm.
  const gaps = (/** @type {number} */ length) => Array.from({ length: 20 }, (_, n) => /** @type {[number, number]} */ ([n * 250 + 20, n * 250 + 20 + length]));
  expect(await watch(page, 5000, ...gaps(120))).toEqual([]);
  expect(await watch(page, 5000, ...gaps(80))).toEqual([[300, true]]);
});
