// "Clean up sound": the server takes the noise out of what others hear of a person.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectSound, test, tileOf } from './fixtures.js';

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

/** Ada and Ben in a room; Ada's tile at Ben's. @param {Server} server @param {(url: string) => Promise<Page>} visit */
async function together(server, visit) {
  lightEngine(server);
  const ada = await visit(server.url);
  await enter(ada, server.url, 'Ada');
  const ben = await visit(server.url);
  await enter(ben, server.url, 'Ben');
  const tile = tileOf(ben, 'Ada');
  await expect(tile).toHaveClass(/live/, { timeout: 30_000 });
  await expectSound(tile.getByTestId('tile-video'));
  return { ada, ben, tile };
}

/** @param {import('@playwright/test').Locator} video */
const volume = (video) => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).volume);

/**
 * By how many milliseconds a filter's sound comes out later than the original, by the likeness of how loud both are.
 * @param {import('@playwright/test').Locator} tile
 */
function lateness(tile) {
  return tile.evaluate(async (element) => {
    const SECONDS = 6;
    const context = new AudioContext();
    await context.resume();
    const merger = context.createChannelMerger(2);
    for (const [index, name] of ['tile-video', 'enhanced-video'].entries()) {
      const video = /** @type {HTMLVideoElement} */ (element.querySelector(`[data-testid="${name}"]`));
      const sound = /** @type {MediaStream} */ (video.srcObject).getAudioTracks();
      context.createMediaStreamSource(new MediaStream(sound)).connect(merger, 0, index);
    }
    const tap = context.createScriptProcessor(4096, 2, 2);
    const step = Math.round(context.sampleRate / 1000);
    /** @type {number[][]} samples of both */
    const heard = [[], []];
    tap.onaudioprocess = ({ inputBuffer }) => heard.forEach((samples, index) => samples.push(...inputBuffer.getChannelData(index)));
    merger.connect(tap).connect(context.destination);
    while (heard[0].length < SECONDS * context.sampleRate) await new Promise((resolve) => setTimeout(resolve, 100));
    await context.close();
    // How loud each millisecond is, over or under the mean.
    const [original, enhanced] = heard.map((samples) => {
      const loud = Array.from({ length: Math.floor(samples.length / step) }, (_, i) =>
        samples.slice(i * step, (i + 1) * step).reduce((sum, sample) => sum + Math.abs(sample), 0));
      const mean = loud.reduce((sum, one) => sum + one, 0) / loud.length;
      return loud.map((one) => one - mean);
    });
    const like = (/** @type {number} */ lag) => original.slice(0, -500).reduce((sum, one, i) => sum + one * enhanced[i + lag], 0);
    const lags = Array.from({ length: 500 }, (_, lag) => lag);
    return lags.reduce((best, lag) => (like(lag) > like(best) ? lag : best), 0);
  });
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

    const later = await lateness(tile);
    const { notices } = await job(server);
    console.log(`the filter's sound is ${later} ms later than the original; ${JSON.stringify(notices)}`);
    expect(later, 'milliseconds by way of the filter').toBeLessThan(250);

    await ada.getByTestId('call-clean').uncheck();
    await expect(tile).toHaveAttribute('data-sound', 'original');
    await expect(enhanced).toHaveCount(0);
    expect(await volume(tile.getByTestId('tile-video'))).toBe(1);
    await expect.poll(async () => (await job(server)).state).toBe('stopped');
  });

  test('a filter that is killed is not missed, and comes back; it ends with the one who asked for it', async ({ server, visit }) => {
    test.slow();
    const { ada, tile } = await together(server, visit);
    await ada.keyboard.press('n');
    await expect(tile).toHaveAttribute('data-sound', 'enhanced', { timeout: 20_000 });
    const back = tile.evaluate((element) => new Promise((/** @type {(at: number) => void} */ resolve) => {
      const look = setInterval(() => {
        const video = /** @type {HTMLVideoElement|null} */ (element.querySelector('[data-testid="tile-video"]'));
        if (video?.volume !== 1) return;
        clearInterval(look);
        resolve(Date.now());
      }, 5);
    }));
    const { pid, id } = await job(server);
    process.kill(pid, 'SIGKILL');
    const killed = Date.now();
    const after = (await back) - killed;
    console.log(`the original is back ${after} ms after the kill`);
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
