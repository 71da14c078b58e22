// How far sound and picture of a long recording drift apart: the test's own measurement. It takes as long as it is told to
// (`node benches/run.mjs drift 3600`), so `make bench` shows what the last long run found.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const TEST = 'how_far_sound_and_picture_drift_apart';
const KEPT = new URL('drift.json', import.meta.url);

/** Records for so many seconds; a run of at least so long is kept. */
const LONG_S = 1800;

export function measureDrift(seconds = '60') {
  const cargo = ['test', '--quiet', '--locked', '--test', 'drift', '--', '--ignored', '--nocapture', TEST];
  const env = { ...process.env, ATTACHE_DRIFT_S: seconds };
  const { status, stdout } = spawnSync('cargo', cargo, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'inherit'] });
  const line = stdout.split('\n').find((line) => line.startsWith('{"files"'));
  if (status !== 0 || line === undefined) throw new Error(`cargo ${cargo.join(' ')} failed:\n${stdout}`);
  return JSON.parse(line);
}

export function keepDrift(measured, { date, commit, load_before: load }) {
  if (measured.files.every((file) => file.seconds >= LONG_S)) {
    writeFileSync(KEPT, `${JSON.stringify({ date, commit, load, ...measured }, null, 2)}\n`);
  }
}

/** The last long run. */
export function keptDrift() {
  return JSON.parse(readFileSync(KEPT, 'utf8'));
}
