// How far sound and picture of a long recording drift apart: the test's own measurement. It takes as long as it is told to
// (`node benches/run.mjs drift 3600`), so `make bench` shows what the last long run found.

import { spawnSync } from 'node:child_process';

const TEST = 'how_far_sound_and_picture_drift_apart';
/** A run of at least so long is kept. */
const LONG_S = 1800;

/** Records for so many seconds. */
export function measureDrift(seconds = '60') {
  const cargo = ['test', '--quiet', '--locked', '--test', 'sound', '--', '--ignored', '--nocapture', TEST];
  const env = { ...process.env, ATTACHE_DRIFT_S: seconds };
  const { status, stdout } = spawnSync('cargo', cargo, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'inherit'] });
  const line = stdout.split('\n').find((line) => line.startsWith('{"files"'));
  if (status !== 0 || line === undefined) throw new Error(`cargo ${cargo.join(' ')} failed:\n${stdout}`);
  return JSON.parse(line);
}

/** Whether it says something about an hour. */
export function isLong({ files }) {
  return files.every((file) => file.seconds >= LONG_S);
}
