// What many recordings at once cost and lack: the test's own measurement, of the release build.

import { measuredByTest } from './test.mjs';

export const measureMany = () => measuredByTest('many', 'what_twenty_recordings_at_once_cost_and_lack');
