// Whether a PeerConnection serves, and when the next is made: the page's own code on a clock of the test's own.

import { expect, test } from './fixtures.js';

/** @import {Page} from '@playwright/test' */

/**
 * Looks each half second; gives when it is taken for stalled, or null, and how often the other one was asked.
 * @param {Page} page @param {{until: number, silentFrom: number, canProbe?: boolean, expects?: boolean, answers?: boolean, alertAt?: number}} course in milliseconds
 * @returns {Promise<{stalled: number|null, probes: number}>}
 */
function watch(page, course) {
  return page.evaluate(async ({ until, silentFrom, canProbe = true, expects = true, answers = false, alertAt = -1 }) => {
    const { Liveness } = await import(String('/page/liveness.js'));
    const liveness = new Liveness(0);
    let [probes, asked] = [0, false];
    for (let now = 0; now < until; now += 500) {
      if (now === alertAt) liveness.alert();
      const heard = now < silentFrom || (answers && asked);
      const verdict = liveness.look({ state: 'connected', heard, canProbe, expects }, now);
      asked = verdict === 'probe';
      probes += asked ? 1 : 0;
      if (verdict === 'stalled') return { stalled: now, probes };
    }
    return { stalled: null, probes };
  }, course);
}

test('a connection over which nothing comes is given up soon, unless the other one is only silent', async ({ server, visit }) => {
  const page = await visit(server.url);
  expect(await watch(page, { until: 60_000, silentFrom: 60_000 })).toEqual({ stalled: null, probes: 0 });
  const { stalled } = await watch(page, { until: 60_000, silentFrom: 10_000 });
  expect(stalled).toBeGreaterThanOrEqual(11_000);
  expect(stalled).toBeLessThanOrEqual(12_000);
  const muted = await watch(page, { until: 60_000, silentFrom: 10_000, answers: true, expects: false });
  expect(muted.stalled).toBeNull();
  expect(muted.probes).toBeGreaterThan(20);
  expect((await watch(page, { until: 60_000, silentFrom: 10_000, canProbe: false, expects: false })).stalled).toBeNull();
  expect((await watch(page, { until: 60_000, silentFrom: 10_000, canProbe: false })).stalled).toBeLessThanOrEqual(12_000);
  const moved = await watch(page, { until: 60_000, silentFrom: 10_000, alertAt: 10_000 });
  expect(moved.stalled).toBeLessThanOrEqual(11_000);
});

test('pauses between tries grow, and end with the trouble', async ({ server, visit }) => {
  const page = await visit(server.url);
  const tries = await page.evaluate(async () => {
    const { Renewal } = await import(String('/page/renewal.js'));
    const renewal = new Renewal();
    /** @type {number[]} */
    const tries = [];
    for (let now = 0; now < 30_000; now += 500) {
      renewal.want(now, 1);
      if (renewal.isDue(now)) tries.push(now);
    }
    renewal.well(30_000);
    if (renewal.isDue(90_000)) tries.push(90_000);
    renewal.well(90_000);
    renewal.want(90_000, 1);
    if (renewal.isDue(90_000)) tries.push(-1);
    return tries;
  });
  expect(tries).toEqual([0, 1000, 2500, 5000, 9500, 18_000, -1]);
});
