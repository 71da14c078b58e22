// What a real browser sends is recorded as it came, in each codec that a browser sends, and plays in a browser.

import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, expectFrames, test } from './fixtures.js';

const CODECS = [
  { asked: 'H264', named: 'h264', file: 'mp4' },
  { asked: 'VP9', named: 'vp9', file: 'mp4' },
  { asked: 'AV1', named: 'av1', file: 'mp4' },
  { asked: 'VP8', named: 'vp8', file: 'webm' },
];

/** @param {string} file @returns {{codec_type: string, codec_name: string, width?: number, nb_read_frames: string}[]} every frame is decoded */
function decoded(file) {
  const asked = ['-count_frames', '-show_entries', 'stream=codec_type,codec_name,width,nb_read_frames', '-of', 'json'];
  return JSON.parse(execFileSync('ffprobe', ['-v', 'error', ...asked, file], { encoding: 'utf8' })).streams;
}

/** Plays a file in a browser. @param {import('@playwright/test').Page} page @param {string} path */
async function expectPlays(page, path) {
  await page.goto(pathToFileURL(path).href);
  await page.locator('video').evaluate((element) => {
    const player = /** @type {HTMLVideoElement} */ (element);
    Object.assign(player, { muted: true, loop: true });
    return player.play();
  });
  // The picture itself cannot be read from a file's page; that it is shown can.
  await expectFrames(page.locator('video'));
}

test(`what browsers send in ${CODECS.map(({ asked }) => asked).join(', ')} is recorded as it is, and the files play`, async ({ server, visit, people }) => {
  test.slow();
  cpSync(join(server.pipelines, 'recorder.toml'), join(server.pipelines, 'all.toml'));
  appendFileSync(join(server.pipelines, 'all.toml'), '\n[settings.video]\ncodecs = ["vp8", "h264", "vp9", "av1"]\n');
  // A room for each, all at once.
  const all = await Promise.all(CODECS.map(async (codec) => {
    const { id } = await server.startJob({ role: 'recorder', room: codec.named, description: 'all' });
    return { ...codec, job: () => server.api(`jobs/${id}`), end: () => server.api(`jobs/${id}`, { method: 'DELETE' }) };
  }));
  for (const { job, named } of all) await expect.poll(async () => (await job()).state, { message: named, timeout: 30_000 }).toBe('joined');
  for (const { asked, named } of all) await visit(server.room(named), { query: `?codec=${asked}` });
  for (const { job, named } of all) {
    const enough = async () => {
      const { recordings: [recording], peers: [peer] } = await job();
      return recording?.duration_ms > 4000 && peer?.video_frames > 30;
    };
    await expect.poll(enough, { message: `${named} is recorded`, timeout: 60_000 }).toBe(true);
  }
  for (const { end } of all) await end();

  const player = await people.newPage();
  for (const { job, named, file } of all) {
    await expect.poll(async () => (await job()).state, { message: named, timeout: 20_000 }).toBe('stopped');
    const [recording] = (await job()).recordings;
    const { recordings } = await server.api('recordings');
    const { name } = recordings.find((/** @type {{room: string}} */ { room }) => room === named);
    const path = join(server.folder, 'recordings', name, recording.file);
    expect(path.endsWith(`.${file}`), path).toBe(true);
    const streams = decoded(path);
    const video = streams.find(({ codec_type }) => codec_type === 'video');
    const audio = streams.find(({ codec_type }) => codec_type === 'audio');
    expect([video?.codec_name, audio?.codec_name]).toEqual([named, 'opus']);
    expect(Number(video?.nb_read_frames), `pictures of ${named}`).toBeGreaterThan(15);
    expect(Number(audio?.nb_read_frames), `frames of sound beside ${named}`).toBeGreaterThan(150);
    await expectPlays(player, path);
  }
});
