// What it costs to record one person who sends 720p from a browser.

import { setTimeout as pause } from 'node:timers/promises';

import { Attache } from './attache.mjs';
import { enter, launch, openLobby } from './browser.mjs';
import { cost } from './processes.mjs';

/** Chromium's own estimate needs this long to let it send 720p. */
const SETTLE_MS = 15_000;
const SECONDS = 20;

const written = (job) => job.recordings.reduce((sum, { bytes }) => sum + bytes, 0);

export async function measureRecorder() {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'talk.mjpeg' });
  try {
    const { id } = await attache.attend({ role: 'recorder', room: 'recorder' });
    const page = await openLobby(browser, attache.url);
    await enter(page, 'recorder');
    const { pid } = await attache.peers(id, 1);
    await pause(SETTLE_MS);
    const before = written(await attache.job(id));
    const measured = await cost(pid, SECONDS);
    const bytes = written(await attache.job(id)) - before;
    if (bytes === 0) throw new Error(`the recorder wrote nothing in ${SECONDS} s`);
    return { seconds: SECONDS, written_kbps: (bytes * 8) / 1000 / SECONDS, ...measured };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}
