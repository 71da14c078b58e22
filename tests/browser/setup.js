// Makes sure of what the tests need before the first one: the media and the binary.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BINARY } from './server.js';
import { clearTurns } from './turns.js';

export default function setup() {
  clearTurns(process.pid);
  execFileSync(fileURLToPath(new URL('../media.sh', import.meta.url)), { stdio: 'inherit' });
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: run \`cargo build\`, or name another by ATTACHE_BIN`);
}
