// "Clean up sound": the server takes the noise out of what others hear of a person.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectFrames, expectSound, look, test, tileOf } from './fixtures.js';
import { lagOf, offsets, record } from './sync.js';

/** @import {Page} from '@playwright/test' */
/** @import {Server} from './server.js' */

const CLEANED = 'Your sound is cleaned up for the others';

/** The better engine is too slow for a call in a build without optimization. @param {Server} server */
function lightEngine(server) {
  const file = join(server.pipelines, 'filter-denoise.toml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('default = "nsnet2"', 'default = "rnnoise"'));
}

/** @param {Page} page @param {string} url @param {string} name */
async function enter(page, url, name) {
  await page.goto(url);
  await page.getByTestId('name').fill(name);
  await page.getByTestId('room').fill('studio');
  await page.getByTestId('start').click();
}

/** Runs in a page before its own code: keeps its PeerConnections where a test finds them. */
function keepConnections() {
  /** @type {RTCPeerConnection[]} */
  const connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super(configuration);
      connections.push(this);
    }
  };
  Object.assign(window, { connections });
}

/**
 * From now on waits until the original is loud again: how many milliseconds after the filter's sound ended, which the
 * browser plays on as long as it has some, and when.
 * @param {import('@playwright/test').Locator} tile
 */
async function watchForOriginal(tile) {
  const watch = await tile.evaluateHandle((element) => ({ found: new Promise((/** @type {(found: {after: number, at: number}) => void} */ resolve) => {
    const find = (/** @type {string} */ name) => /** @type {HTMLVideoElement|null} */ (element.querySelector(`[data-testid="${name}"]`));
    const filtered = /** @type {MediaStream} */ (find('enhanced-video')?.srcObject).getAudioTracks()[0];
    const { connections } = /** @type {{connections: RTCPeerConnection[]}} */ (/** @type {unknown} */ (window));
    const receiver = connections.flatMap((one) => one.getReceivers()).find(({ track }) => track === filtered);
    let [last, at] = [0, 0];
    const look = setInterval(() => {
      const played = receiver?.getSynchronizationSources()[0]?.rtpTimestamp ?? last;
      if (played !== last) [last, at] = [played, Date.now()];
      if (find('tile-video')?.volume !== 1) return;
      clearInterval(look);
      resolve({ after: Date.now() - at, at: Date.now() });
    }, 5);
  }) }));
  return () => watch.evaluate(({ found }) => found);
}

/** Ada and Ben in a room; Ada's tile at Ben's. @param {Server} server @param {(url: string, visit?: import('./fixtures.js').Visit) => Promise<Page>} visit */
async function together(server, visit) {
  lightEngine(server);
  const ada = await visit(server.url);
  await enter(ada, server.url, 'Ada');
  const ben = await visit(server.url, { before: keepConnections });
  await enter(ben, server.url, 'Ben');
  const tile = tileOf(ben, 'Ada');
  await expect(tile).toHaveClass(/live/, { timeout: 30_000 });
  await expectSound(tile.getByTestId('tile-video'));
  return { ada, ben, tile };
}

/** @param {import('@playwright/test').Locator} video */
const volume = (video) => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).volume);

/** How late a filter's sound is, in milliseconds. @param {import('@playwright/test').Locator} tile */
async function lateness(tile) {
  const { original, enhanced } = await record(tile, 6);
  return lagOf(original, enhanced, 500);
}

/** @param {number[]} values */
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** A filter that only takes its time: 200 ms. */
const LATE = `role = 'filter'
summary = 'late'
[settings]
latency_ms = 20
[chain]
audio = 'queue min-threshold-time=200000000'
`;

/** As which participant a job is in its room. @param {Server} server @param {object} spec */
async function attend(server, spec) {
  const { id } = await server.startJob(spec);
  await expect.poll(async () => (await server.api(`jobs/${id}`)).state, { timeout: 20_000 }).toBe('joined');
  return (await server.api(`jobs/${id}`)).participant;
}

/** The filter's job. @param {Server} server */
async function job(server) {
  const { jobs } = await server.api('jobs');
  return jobs.at(-1);
}

test.describe('where the server allows it', () => {
  test.use({ config: '[rooms]\nfilters = true\n' });

  test('others hear the filter instead of the person, and the person again when it is switched off', async ({ server, visit }) => {
    test.slow();
    const { ada, ben, tile } = await together(server, visit);
    await ada.getByTestId('settings-open').click();
    await ada.getByTestId('call-clean').check();
    await expect(ada.getByTestId('toasts')).toContainText(CLEANED, { timeout: 20_000 });

    await expect(tile).toHaveAttribute('data-sound', 'enhanced', { timeout: 20_000 });
    const enhanced = tile.getByTestId('enhanced-video');
    await expectSound(enhanced);
    await expect.poll(() => volume(enhanced)).toBe(1);
    expect(await volume(tile.getByTestId('tile-video'))).toBe(0);
    for (const page of [ada, ben]) {
      await expect(page.getByTestId('tile'), 'a filter has no tile').toHaveCount(1);
      await expect(page.getByTestId('count')).toHaveText('2 in this call');
    }
    await expect(ada.getByTestId('enhanced-video'), 'nobody hears herself').toHaveCount(0);

    const { notices } = await job(server);
    console.log(`the filter's sound is ${await lateness(tile)} ms later than the original; ${JSON.stringify(notices)}`);

    // What becomes of her sound, she reads; and whoever watches the server.
    await expect(ada.locator('#clean-hint')).toContainText(/On: noise is \d+ dB less loud|On: there is no noise|too busy/, { timeout: 20_000 });
    const [does] = (await job(server)).filters;
    expect(does.frames).toBeGreaterThan(0);
    expect(does.p99_us).toBeGreaterThanOrEqual(does.mean_us);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/attache_filter_frames_total\{job="[^"]+",role="filter"\} [1-9]/);
    expect(metrics).toMatch(/attache_filter_frame_seconds\{job="[^"]+",role="filter"\} 0\.\d+/);

    await ada.getByTestId('call-clean').uncheck();
    await expect(tile).toHaveAttribute('data-sound', 'original');
    await expect(tile, 'nothing is held back any more').toHaveAttribute('data-held', '0');
    await expect(enhanced).toHaveCount(0);
    expect(await volume(tile.getByTestId('tile-video'))).toBe(1);
    await expect.poll(async () => (await job(server)).state).toBe('stopped');
  });

  test('a filter that is killed is not missed, and comes back; it ends with the one who asked for it', async ({ server, visit }) => {
    test.slow();
    const { ada, tile } = await together(server, visit);
    await ada.keyboard.press('n');
    await expect(tile).toHaveAttribute('data-sound', 'enhanced', { timeout: 20_000 });
    await expect.poll(() => volume(tile.getByTestId('enhanced-video'))).toBe(1);
    const back = await watchForOriginal(tile);
    const { pid, id } = await job(server);
    process.kill(pid, 'SIGKILL');
    const killed = Date.now();
    const { after, at } = await back();
    console.log(`the original is back ${at - killed} ms after the kill, ${after} ms after the last sound of the filter`);
    expect(after).toBeLessThan(200);
    await expect(tile).toHaveAttribute('data-sound', 'enhanced', { timeout: 30_000 });
    expect((await server.api(`jobs/${id}`)).restarts).toBe(1);

    await ada.close();
    await expect.poll(async () => (await server.api(`jobs/${id}`)).state, { timeout: 20_000 }).toBe('stopped');
  });
});

test.describe('where there is no room for it', () => {
  test.use({ config: '[rooms]\nfilters = true\n[admission]\ncores = 0.1\n' });

  test('the switch says so and goes back', async ({ server, visit }) => {
    const ada = await visit(server.url);
    await enter(ada, server.url, 'Ada');
    await expect(ada.getByTestId('alone')).toBeVisible();
    await ada.keyboard.press('n');
    await expect(ada.getByTestId('toasts')).toContainText('The server cannot clean up your sound now.');
    await ada.getByTestId('settings-open').click();
    await expect(ada.getByTestId('call-clean')).not.toBeChecked();
  });
});

test('where the server does not allow it, there is no switch', async ({ server, visit }) => {
  const ada = await visit(server.url);
  await enter(ada, server.url, 'Ada');
  await expect(ada.getByTestId('alone')).toBeVisible();
  await ada.getByTestId('settings-open').click();
  await expect(ada.getByTestId('call-not-recorded')).toBeVisible();
  await expect(ada.getByTestId('call-clean')).toBeHidden();
});

/** Somebody in the dark, who sends no sound. */
const DARK = `role = 'kiosk'
summary = 'dark'
[settings.video]
width = 320
height = 180
framerate = 15
[capture]
video = 'videotestsrc pattern=solid-color foreground-color=0xff202020 ! clocksync'
`;

test('somebody in the dark is seen by way of a filter, and as before when the filter is killed', async ({ server, visit }) => {
  test.slow();
  writeFileSync(join(server.pipelines, 'kiosk-dark.toml'), DARK);
  const kiosk = await attend(server, { role: 'kiosk', room: 'studio', description: 'kiosk-dark', name: 'Dark' });
  const ben = await visit(server.url);
  await enter(ben, server.url, 'Ben');
  const tile = tileOf(ben, 'Dark');
  await expect(tile).toHaveClass(/live/, { timeout: 30_000 });
  const light = async (/** @type {string} */ name) => {
    const picture = await look(tile.getByTestId(name));
    return picture.reduce((sum, one) => sum + one, 0) / picture.length;
  };
  const before = await light('tile-video');

  await attend(server, { role: 'filter', room: 'studio', of: kiosk, description: 'filter-low-light', parameters: { width: 320, height: 180 } });
  await expect(tile).toHaveAttribute('data-picture', 'enhanced', { timeout: 30_000 });
  const enhanced = tile.getByTestId('enhanced-video');
  await expect(enhanced, 'it lies over the original').toHaveCSS('opacity', '1');
  await expect.poll(() => light('enhanced-video')).toBeGreaterThan(before + 20);

  process.kill((await job(server)).pid, 'SIGKILL');
  await expect(tile).toHaveAttribute('data-picture', 'original', { timeout: 5000 });
  await expectFrames(tile.getByTestId('tile-video'));
  expect(Math.abs((await light('tile-video')) - before)).toBeLessThan(5);
});

test('lips stay with a voice that comes late by way of a filter', async ({ server, visit }) => {
  test.slow();
  writeFileSync(join(server.pipelines, 'filter-late.toml'), LATE);
  // It sends a flash and a beep, and takes nothing.
  const shipped = readFileSync(join(server.pipelines, 'kiosk-test.toml'), 'utf8');
  writeFileSync(join(server.pipelines, 'kiosk-flash.toml'), shipped.slice(0, shipped.indexOf('[playback]')));
  const picture = { width: 320, height: 180, framerate: 20, pattern: 'black', bitrate_kbps: 300 };
  const kiosk = await attend(server, { role: 'kiosk', room: 'studio', description: 'kiosk-flash', name: 'Kiosk', parameters: picture });
  const ben = await visit(server.url);
  await enter(ben, server.url, 'Ben');
  const tile = tileOf(ben, 'Kiosk');
  await expect(tile).toHaveClass(/live/, { timeout: 30_000 });
  const alone = await record(tile, 6);
  const before = median(offsets(alone.original, alone.flashes));

  await attend(server, { role: 'filter', room: 'studio', of: kiosk, description: 'filter-late' });
  await expect(tile).toHaveAttribute('data-sound', 'enhanced', { timeout: 20_000 });
  const later = async () => {
    const { enhanced, flashes } = await record(tile, 6);
    return Math.abs(median(offsets(enhanced, flashes)) - before);
  };
  await expect.poll(later, { message: 'milliseconds between lips and voice that were not there without the filter', timeout: 90_000 }).toBeLessThan(80);
  // On a busy machine the original may have been heard for a moment.
  const held = async () => Number(await tile.getAttribute('data-held'));
  await expect.poll(held, { message: 'milliseconds by which the original is held back', timeout: 30_000 }).toBeGreaterThan(150);
  await expect.poll(() => lateness(tile), { message: 'milliseconds by which the original would jump, should it have to go on', timeout: 90_000 }).toBeLessThan(80);
});

test('a filter for everybody cleans up the sound of each, and shows itself to nobody', async ({ server, visit }) => {
  lightEngine(server);
  await attend(server, { role: 'filter', room: 'studio', of: 'all' });
  const { ada, ben, tile } = await together(server, visit);
  for (const heard of [tile, tileOf(ada, 'Ben')]) {
    await expect(heard).toHaveAttribute('data-sound', 'enhanced', { timeout: 30_000 });
  }
  for (const page of [ada, ben]) await expect(page.getByTestId('tile')).toHaveCount(1);
});
