// What server and kiosk hold after two thousand have come and gone: the test's own measurement, of the release build.

import { measuredByTest } from './test.mjs';

/** @param {string} [times] so many come and go */
export function measureJoins(times = '2000') {
  process.env.ATTACHE_JOINS = times;
  return measuredByTest('joins', 'what_is_left_of_two_thousand_who_came_and_went');
}
