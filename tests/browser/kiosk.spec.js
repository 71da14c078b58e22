// Pages with a kiosk and a recorder: everybody sees, hears and reads everybody.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectMovingPicture, expectSound, test as base, tileOf } from './fixtures.js';
import { Job, testKiosk } from './job.js';

/** @typedef {{run: (job: Job) => Promise<Job>}} Jobs gives a job that has joined, and ends it after the test */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & import('./fixtures.js').Fixtures & Jobs, {}>} */
const test = base.extend(/** @type {any} */ ({
  /** @param {import('./fixtures.js').Fixtures} fixtures @param {(run: Jobs['run']) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  run: async ({ server }, use, info) => {
    /** @type {Job[]} */
    const jobs = [];
    await use(async (job) => {
      jobs.push(job);
      await expect.poll(() => job.last('state')?.state, { message: 'the job joins', timeout: 20_000 }).toBe('joined');
      return job;
    });
    for (const job of jobs) {
      await job.stop();
      if (info.status !== info.expectedStatus) console.log(`--- job\n${job.log}\n${job.events.map((event) => JSON.stringify(event)).join('\n')}\n---`);
    }
  },
}));

for (const codec of ['VP8', 'H264']) {
  test(`a person and a kiosk see, hear and read each other, in ${codec}`, async ({ server, visit, run }) => {
    const kiosk = await run(testKiosk(server.room('front')));
    const page = await visit(server.room('front'), { query: `?codec=${codec}` });
    const tile = tileOf(page, 'Front desk');
    await expect(tile.getByTestId('tile-kind')).toHaveText('Kiosk');
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expectSound(tile.getByTestId('tile-video'));
    await expect(tile.getByTestId('quality')).toHaveAttribute('data-codec', codec);

    await expect.poll(() => kiosk.last('receiving')?.video_frames ?? 0, { message: 'pictures there', timeout: 30_000 }).toBeGreaterThan(15);
    await expect.poll(() => kiosk.last('receiving')?.audio_frames ?? 0, { message: 'sound there', timeout: 30_000 }).toBeGreaterThan(50);
    await page.getByTestId('chat-toggle').click();
    await page.getByTestId('chat-text').fill('hello, kiosk');
    await page.keyboard.press('Enter');
    await expect.poll(() => kiosk.last('message')?.text, { message: 'chat there' }).toBe('hello, kiosk');
  });
}

test('a kiosk that comes later calls the page', async ({ server, visit, run }) => {
  const page = await visit(server.room('front'));
  await expect(page.getByTestId('alone')).toBeVisible();
  await run(testKiosk(server.room('front')));
  await expectMovingPicture(tileOf(page, 'Front desk').getByTestId('tile-video'));
  await expectSound(tileOf(page, 'Front desk').getByTestId('tile-video'));
});

test.describe('without camera and microphone', () => {
  test.use({ browserKind: { allowed: false, devices: 'none' } });

  test('a page sees and hears a kiosk all the same', async ({ server, visit, run }) => {
    await run(testKiosk(server.room('front')));
    const page = await visit(server.room('front'), { granted: false });
    await page.getByTestId('start').click();
    await expect(page.getByTestId('problem')).toBeVisible();
    await page.getByTestId('start').click();
    await expectMovingPicture(tileOf(page, 'Front desk').getByTestId('tile-video'));
    await expectSound(tileOf(page, 'Front desk').getByTestId('tile-video'));
  });
});

test('the kiosk of the configuration shows within two seconds of Start', async ({ visit, run, server }) => {
  await run(testKiosk(server.room('front')));
  const page = await visit(server.url);
  await expect(page.getByTestId('preview-video')).toBeVisible();
  await page.getByTestId('room').fill('front');
  const began = Date.now();
  await page.getByTestId('start').click();
  await expect(page.locator('.tile.live')).toHaveCount(1);
  expect(Date.now() - began, 'milliseconds from Start to the picture').toBeLessThan(2000);
});

test('two people, a kiosk and a recorder are in one call', async ({ server, visit, run }) => {
  test.slow();
  const out = join(server.folder, 'out');
  const room = server.room('front');
  await run(testKiosk(room));
  const ada = await visit(room);
  const ben = await visit(room);
  const recorder = await run(new Job('record', room, ['--out', out, '--name', 'Minutes']));
  for (const page of [ada, ben]) {
    await expect(page.locator('.tile.live')).toHaveCount(2, { timeout: 30_000 });
    await expect(page.getByTestId('recording')).toHaveText('Minutes is recording this call');
  }
  await expectMovingPicture(tileOf(ada, 'Front desk').getByTestId('tile-video'));
  const files = () => new Set(recorder.events.filter((event) => event.event === 'recording' && event.duration_ms > 3000).map(({ file }) => file));
  await expect.poll(() => files().size, { message: 'a file for each of three', timeout: 60_000 }).toBe(3);
  expect(await recorder.stop()).toBe(0);
  for (const page of [ada, ben]) await expect(page.getByTestId('recording')).toBeEmpty();

  const written = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(mp4|mkv|webm)$/.test(name));
  expect(written).toHaveLength(3);
  for (const name of written) {
    const probe = execFileSync('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_type', '-of', 'csv=p=0', join(out, name)], { encoding: 'utf8' });
    expect(probe.trim().split('\n').sort(), name).toEqual(['audio', 'video']);
  }
});

test('a kiosk whose worker is killed comes back into the call', async ({ server, visit }) => {
  const job = await server.startJob({ role: 'kiosk', room: 'front', description: 'kiosk-test', name: 'Front desk' });
  const page = await visit(server.room('front'));
  const tile = tileOf(page, 'Front desk');
  await expectMovingPicture(tile.getByTestId('tile-video'));
  const before = await tile.getAttribute('data-participant');
  const workers = execFileSync('ps', ['-eo', 'pid,ppid,args'], { encoding: 'utf8' }).split('\n').map((line) => line.trim().split(/\s+/));
  const worker = workers.find(([, parent, , command]) => Number(parent) === server.pid && command === 'worker');
  expect(worker, `the worker of job ${job.id}`).toBeDefined();
  process.kill(Number(worker?.[0]), 'SIGKILL');
  await expect(tile).not.toHaveAttribute('data-participant', String(before), { timeout: 30_000 });
  await expectMovingPicture(tile.getByTestId('tile-video'));
});
