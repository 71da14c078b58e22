// A page in a mixed recording: what it mutes is not in the film.

import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from './fixtures.js';
import { Job } from './job.js';

const MUTED_S = 6;

/** The spans of silence in a film, in seconds. @param {string} file */
function silences(file) {
  const said = spawnSync('ffmpeg', ['-hide_banner', '-i', file, '-af', 'silencedetect=noise=-50dB:d=3', '-f', 'null', '-'], { encoding: 'utf8' }).stderr;
  const numbers = (/** @type {string} */ name) => [...said.matchAll(new RegExp(`silence_${name}: (-?[\\d.]+)`, 'g'))].map((match) => Number(match[1]));
  return { starts: numbers('start'), ends: numbers('end') };
}

test('who is muted is not heard in a mixed recording, and is heard again after it', async ({ server, visit }) => {
  test.slow();
  const out = join(server.folder, 'out');
  const recorder = new Job('record', server.room('studio'), ['--out', out, '--description', 'recorder-mixed']);
  await expect.poll(() => recorder.last('state')?.state, { timeout: 20_000 }).toBe('joined');
  const ada = await visit(server.room('studio'));
  const recorded = () => Number(recorder.last('recording')?.duration_ms ?? 0);
  await expect.poll(() => recorder.events.some(({ event, audio_frames }) => event === 'receiving' && audio_frames > 0), { timeout: 30_000 }).toBe(true);
  const spoken = recorded();
  await expect.poll(recorded, { timeout: 30_000 }).toBeGreaterThan(spoken + 4000);

  await ada.getByTestId('microphone').click();
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'false');
  await pause(MUTED_S * 1000);
  await ada.getByTestId('microphone').click();
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');
  const muted = recorded();
  await expect.poll(recorded, { timeout: 30_000 }).toBeGreaterThan(muted + 5000);
  expect(await recorder.stop()).toBe(0);

  const [film] = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.webm'));
  const file = join(out, film);
  const length = Number(execFileSync('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', file], { encoding: 'utf8' }));
  const { starts, ends } = silences(file);
  const spans = ends.map((end, index) => ({ from: starts[index], lasted: end - starts[index] }));
  const long = spans.filter(({ from, lasted }) => from > 3 && lasted > MUTED_S - 1);
  expect(long, JSON.stringify({ spans, length })).toHaveLength(1);
  expect(long[0].lasted).toBeLessThan(MUTED_S + 3);
  expect(long[0].from + long[0].lasted, 'heard again').toBeLessThan(length - 2);
});
