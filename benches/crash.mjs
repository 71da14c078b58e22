// What is missing at the end of a recording whose recorder is killed: the test's own measurement, of the release build.

import { spawnSync } from 'node:child_process';

const TEST = 'what_a_killed_recorder_loses_at_random_instants';

export function measureCrash() {
  const cargo = ['test', '--quiet', '--test', 'crash', '--', '--ignored', '--nocapture', TEST];
  const { status, stdout } = spawnSync('cargo', cargo, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const line = stdout.split('\n').find((line) => line.startsWith('{"kills"'));
  if (status !== 0 || line === undefined) throw new Error(`cargo ${cargo.join(' ')} failed:\n${stdout}`);
  return JSON.parse(line);
}
