// What is missing at the end of a recording whose recorder is killed: the test's own measurement, of the release build.

import { measuredByTest } from './test.mjs';

export const measureCrash = () => measuredByTest('crash', 'what_a_killed_recorder_loses_at_random_instants');
