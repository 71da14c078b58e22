// What a test of the crate measures by itself: the JSON on the last line that it prints.

import { spawnSync } from 'node:child_process';

/** Runs an ignored test of a file in `tests/`; it takes the program that ATTACHE_BIN names. */
export function measuredByTest(file, name) {
  const cargo = ['test', '--quiet', '--test', file, '--', '--ignored', '--nocapture', name];
  const { status, stdout } = spawnSync('cargo', cargo, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const line = stdout.split('\n').findLast((text) => text.startsWith('{"'));
  if (status !== 0 || line === undefined) throw new Error(`cargo ${cargo.join(' ')} failed:\n${stdout}`);
  return JSON.parse(line);
}
