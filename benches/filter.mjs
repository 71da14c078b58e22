// What the engines of noise suppression cost: each over ten seconds of speech, by `attache denoise`.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SPEECH = new URL('../tests/browser/media/talk.wav', import.meta.url).pathname;
const ENGINES = ['rnnoise', 'nsnet2', 'webrtcdsp'];

export async function measureFilter() {
  const folder = mkdtempSync(join(tmpdir(), 'attache-filter-'));
  try {
    const measured = ENGINES.map((engine) => {
      const to = join(folder, `${engine}.wav`);
      const said = execFileSync(process.env.ATTACHE_BIN, ['denoise', SPEECH, '-o', to, '--engine', engine, '--json']);
      return [engine, JSON.parse(said)];
    });
    return Object.fromEntries(measured);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
