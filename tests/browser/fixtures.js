// What every browser test stands on: a server, a browser with fake devices, people in it, and eyes and ears.

import { test as base, chromium, expect } from '@playwright/test';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from './server.js';
import { takeTurn } from './turns.js';

export { expect };

const MEDIA = fileURLToPath(new URL('media', import.meta.url));

/** Chromium's own traffic to the outside is stopped: it would only be refused, many times over. */
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const ALLOW = '--use-fake-ui-for-media-stream';
const DENY = '--deny-permission-prompts';
const DEVICES = ['--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${join(MEDIA, 'talk.wav')}`];
/** Without files, Chromium has as many cameras and microphones as one likes: a green picture and a beep. The second camera is a depth sensor that no encoder takes. */
const MANY_DEVICES = ['--use-fake-device-for-media-stream=device-count=3'];

/**
 * @typedef {object} BrowserKind
 * @property {boolean} [allowed] the person says yes when asked
 * @property {'one'|'many'|'none'} [devices] cameras and microphones
 * @property {string} [picture] the file that the camera sees
 *
 * @typedef {object} Visit
 * @property {import('@playwright/test').BrowserContextOptions} [context]
 * @property {boolean} [granted] the permission was given at an earlier visit
 * @property {string} [query]
 * @property {string} [fragment]
 * @property {() => void} [before] runs in the page before its own scripts
 */

/** @param {BrowserKind} [kind] */
export function launch({ allowed = true, devices = 'one', picture = 'small.mjpeg' } = {}) {
  const plugged = {
    none: [],
    one: [...DEVICES, `--use-file-for-fake-video-capture=${join(MEDIA, picture)}`],
    many: MANY_DEVICES,
  }[devices];
  return chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    args: [...QUIET, allowed ? ALLOW : DENY, ...plugged],
  });
}

/** @typedef {{browsers: (kind: BrowserKind) => Promise<import('@playwright/test').Browser>}} Shared the browser that is open, or another where it is not of this kind */

/**
 * @typedef {object} Fixtures
 * @property {string} config attache.toml's text, by `test.use`
 * @property {BrowserKind} browserKind by `test.use`
 * @property {boolean} changesNetwork by `test.use`: it runs when no other test does
 * @property {Server} server
 * @property {import('@playwright/test').Browser} people a browser with fake devices
 * @property {(url: string, visit?: Visit) => Promise<import('@playwright/test').Page>} visit opens a page as another person
 */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & Fixtures, Shared>} */
export const test = base.extend(/** @type {any} */ ({
  // Chromium takes most of a second to start and to end: tests share one, each with people (contexts) of its own.
  browsers: [async (/** @type {{}} */ {}, /** @type {(browsers: Shared['browsers']) => Promise<void>} */ use) => {
    /** @type {{kind: string, browser: import('@playwright/test').Browser}|null} */
    let open = null;
    await use(async (kind) => {
      const name = JSON.stringify(kind);
      if (open?.kind !== name || !open.browser.isConnected()) {
        await open?.browser.close();
        open = { kind: name, browser: await launch(kind) };
      }
      return open.browser;
    });
    await /** @type {{browser: import('@playwright/test').Browser}|null} */ (open)?.browser.close();
  }, { scope: 'worker' }],

  config: ['', { option: true }],
  browserKind: [{}, { option: true }],
  changesNetwork: [false, { option: true }],

  // Its limit is not the test's: the neighbour may be a long one.
  turn: [async (/** @type {Fixtures} */ { changesNetwork }, /** @type {() => Promise<void>} */ use, /** @type {import('@playwright/test').TestInfo} */ info) => {
    const giveBack = await takeTurn(info.parallelIndex, changesNetwork);
    await use();
    giveBack();
  }, { auto: true, timeout: 300_000 }],

  /** @param {Fixtures} fixtures @param {(server: Server) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  server: async ({ config }, use, info) => {
    const server = new Server(config);
    await server.start();
    await use(server);
    await server.dispose();
    if (info.status !== info.expectedStatus) await info.attach('server log', { body: server.log, contentType: 'text/plain' });
    if (info.status !== info.expectedStatus) console.log(`--- server log\n${server.log}---`);
  },

  /** @param {Fixtures & Shared} fixtures @param {(browser: import('@playwright/test').Browser) => Promise<void>} use */
  people: async ({ browsers, browserKind }, use) => {
    const browser = await browsers(browserKind);
    await use(browser);
    for (const context of browser.contexts()) await context.close();
  },

  /** @param {Fixtures} fixtures @param {(visit: Fixtures['visit']) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  visit: async ({ people }, use, info) => {
    /** @type {string[]} */
    const errors = [];
    /** @type {import('@playwright/test').Page[]} */
    const pages = [];
    await use(async (url, { context = {}, granted = true, query = '', fragment = '', before } = {}) => {
      const own = await people.newContext({ viewport: { width: 1000, height: 640 }, ...context });
      if (granted) await own.grantPermissions(['camera', 'microphone']);
      const page = await own.newPage();
      if (before) await page.addInitScript(before);
      const who = `page ${pages.push(page)}`;
      page.on('pageerror', (error) => errors.push(`${who}: ${error.name}: ${error.message} ${error.stack}`));
      page.on('console', (message) => {
        if (message.text().includes('Content Security Policy')) errors.push(`${who}: ${message.text()}`);
      });
      await page.goto(`${url}${query}${fragment}`);
      return page;
    });
    if (info.status !== info.expectedStatus) {
      for (const [index, page] of pages.entries()) {
        if (!page.isClosed()) await page.screenshot({ path: info.outputPath(`page-${index + 1}.png`) });
      }
    }
    expect(errors).toEqual([]);
  },
}));

/** The picture of a video, small: brightness from 0 to 255 of 32 by 18 points. @param {import('@playwright/test').Locator} video @returns {Promise<number[]>} */
export function look(video) {
  return video.evaluate((element) => {
    const canvas = new OffscreenCanvas(32, 18);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
    context.drawImage(/** @type {HTMLVideoElement} */ (element), 0, 0, 32, 18);
    const { data } = context.getImageData(0, 0, 32, 18);
    return Array.from({ length: 32 * 18 }, (_, i) => (data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 3);
  });
}

/** Waits until a video shows a picture that is not black, not plain, and moves. @param {import('@playwright/test').Locator} video */
export async function expectMovingPicture(video) {
  await expect.poll(async () => spread(await look(video)), { message: 'the picture has light and dark' }).toBeGreaterThan(15);
  const first = await look(video);
  await expect.poll(async () => difference(first, await look(video)), { message: 'the picture moves' }).toBeGreaterThan(1);
  await expectFrames(video, 5);
}

/** Waits until a video has shown further frames. The browser's own counter starts again when the picture's size changes. @param {import('@playwright/test').Locator} video */
export async function expectFrames(video, count = 15, limit = 15_000) {
  const shown = await video.evaluate((element, [wanted, milliseconds]) => new Promise((/** @type {(frames: number) => void} */ resolve) => {
    let seen = 0;
    const count = () => {
      seen += 1;
      if (seen === wanted) resolve(seen);
      else /** @type {HTMLVideoElement} */ (element).requestVideoFrameCallback(count);
    };
    /** @type {HTMLVideoElement} */ (element).requestVideoFrameCallback(count);
    setTimeout(() => resolve(seen), milliseconds);
  }), [count, limit]);
  expect(shown, 'further frames').toBe(count);
}

/** @param {import('@playwright/test').Locator} video @returns {Promise<number>} */
export function frames(video) {
  return video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).getVideoPlaybackQuality().totalVideoFrames);
}

/** Speech is louder, as root mean square. */
const SPEECH = 0.01;

/** The loudest moment of what a video plays, as root mean square: within a time, or until it is as loud as speech. @param {import('@playwright/test').Locator} video @returns {Promise<number>} */
function hear(video, milliseconds = 1500) {
  return video.evaluate(async (element, [limit, speech]) => {
    const context = new AudioContext();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (element).srcObject);
    context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let loudest = 0;
    const end = performance.now() + limit;
    while (performance.now() < end && loudest <= speech) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      loudest = Math.max(loudest, Math.sqrt(power));
    }
    await context.close();
    return loudest;
  }, [milliseconds, SPEECH]);
}

/** Waits until speech is heard. @param {import('@playwright/test').Locator} video */
export async function expectSound(video) {
  await expect.poll(() => hear(video), { message: 'there is sound', timeout: 20_000 }).toBeGreaterThan(SPEECH);
}

/** Waits until nothing is heard. @param {import('@playwright/test').Locator} video */
export async function expectSilence(video) {
  await expect.poll(() => hear(video), { message: 'there is silence', timeout: 20_000 }).toBeLessThan(0.002);
}

/** The tile of somebody. @param {import('@playwright/test').Page} page @param {string} name */
export function tileOf(page, name) {
  return page.getByTestId('tile').filter({ has: page.getByTestId('tile-name').getByText(name, { exact: true }) });
}

/** @param {number[]} picture standard deviation of its brightness */
function spread(picture) {
  const mean = picture.reduce((sum, value) => sum + value, 0) / picture.length;
  return Math.sqrt(picture.reduce((sum, value) => sum + (value - mean) ** 2, 0) / picture.length);
}

/** @param {number[]} a @param {number[]} b mean difference of brightness */
function difference(a, b) {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}
