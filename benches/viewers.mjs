// What viewers of one kiosk cost it, and how soon they see: the test's own measurement, of the release build.

import { measuredByTest } from './test.mjs';

export const measureViewers = () => measuredByTest('viewers', 'what_viewers_cost_and_how_soon_they_see');
