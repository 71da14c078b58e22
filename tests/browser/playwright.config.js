// How the browser tests run: Debian's Chromium with fake devices, on two cores. One after another, but that those which
// mostly wait and look run beside those which compute and measure.

import { defineConfig } from '@playwright/test';
import { WORKERS } from './turns.js';

/** What waits for clocks, networks and a page's words: no more than a browser or two, and nothing that a neighbour would put off. */
const WAITING = ['access', 'choice', 'consent', 'lag', 'liveness', 'reconnect', 'sleep', 'speakers', 'status', 'trouble'].map((name) => `${name}.spec.js`);

export default defineConfig({
  testDir: '.',
  outputDir: 'test-results',
  globalSetup: './setup.js',
  workers: WORKERS,
  projects: [
    { name: 'media', testMatch: '*.spec.js', testIgnore: WAITING, workers: 1 },
    { name: 'waiting', testMatch: WAITING, workers: 1 },
  ],
  timeout: 90_000,
  expect: { timeout: 15_000 },
  forbidOnly: Boolean(process.env.CI),
  reporter: [['list']],
  use: { trace: 'off', screenshot: 'off' },
});
