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

for (const { asked, named, file } of CODECS) {
  test(`a browser that sends ${asked} is recorded as it is, and the file plays`, async ({ server, visit, people }) => {
    test.slow();
    cpSync(join(server.pipelines, 'recorder.toml'), join(server.pipelines, 'all.toml'));
    appendFileSync(join(server.pipelines, 'all.toml'), '\n[settings.video]\ncodecs = ["vp8", "h264", "vp9", "av1"]\n');
    const { id } = await server.startJob({ role: 'recorder', room: 'studio', description: 'all' });
    const job = () => server.api(`jobs/${id}`);
    await expect.poll(async () => (await job()).state, { timeout: 20_000 }).toBe('joined');
    await visit(server.room('studio'), { query: `?codec=${asked}` });
    await expect.poll(async () => (await job()).recordings[0]?.duration_ms ?? 0, { timeout: 60_000 }).toBeGreaterThan(4000);
    await server.api(`jobs/${id}`, { method: 'DELETE' });
    await expect.poll(async () => (await job()).state, { timeout: 20_000 }).toBe('stopped');

    const [recording] = (await job()).recordings;
    const [{ name }] = (await server.api('recordings')).recordings;
    const path = join(server.folder, 'recordings', name, recording.file.split('/').at(-1));
    expect(path.endsWith(`.${file}`), path).toBe(true);
    const streams = decoded(path);
    const video = streams.find(({ codec_type }) => codec_type === 'video');
    const audio = streams.find(({ codec_type }) => codec_type === 'audio');
    expect([video?.codec_name, audio?.codec_name]).toEqual([named, 'opus']);
    expect(Number(video?.nb_read_frames), 'pictures').toBeGreaterThan(15);
    expect(Number(audio?.nb_read_frames), 'frames of sound').toBeGreaterThan(150);

    const player = await people.newPage();
    await player.goto(pathToFileURL(path).href);
    await player.locator('video').evaluate((element) => {
      const player = /** @type {HTMLVideoElement} */ (element);
      Object.assign(player, { muted: true, loop: true });
      return player.play();
    });
    // The picture itself cannot be read from a file's page; that it is shown can.
    await expectFrames(player.locator('video'));
  });
}
