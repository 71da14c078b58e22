// A call that lasts: `node benches/run.mjs soak 480` keeps it for eight hours (480 minutes). A kiosk and a recorder stay in a
// room; every minute somebody else comes and goes. What they hold is noted every minute.

import { readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { Attache } from './attache.mjs';
import { memory } from './processes.mjs';

const ROOM = 'soak';
const SMALL = { width: 320, height: 180, framerate: 10 };
const VISIT_MS = 15_000;
const MINUTE_MS = 60_000;
/** Until everything that is opened once is open. */
const WARM_UP_MINUTES = 5;

function held(pid) {
  const count = (what) => readdirSync(`/proc/${pid}/${what}`).length;
  return { pss_mib: memory(pid).pss_mib, threads: count('task'), descriptors: count('fd') };
}

/** From the first look after the warm-up to the last one. */
function growth(samples, name) {
  const of = samples.map((sample) => sample[name]);
  const [first, last] = [of.at(Math.min(WARM_UP_MINUTES, of.length - 1)), of.at(-1)];
  const change = (key) => [first[key], last[key]];
  return { pss_mib: change('pss_mib'), growth_percent: 100 * (last.pss_mib / first.pss_mib - 1), threads: change('threads'), descriptors: change('descriptors') };
}

export async function measureSoak(minutes = '480') {
  const attache = await Attache.begin();
  try {
    const kiosk = await attache.attend({ role: 'kiosk', room: ROOM, description: 'kiosk-test', parameters: SMALL });
    const recorder = await attache.attend({ role: 'recorder', room: ROOM });
    await attache.peers(recorder.id, 1);
    const samples = [];
    let visits = 0;
    for (let minute = 0; minute < Number(minutes); minute += 1) {
      const begun = performance.now();
      const { id } = await attache.attend({ role: 'kiosk', room: ROOM, description: 'kiosk-test', parameters: SMALL });
      await attache.peers(recorder.id, 2);
      await pause(VISIT_MS);
      await attache.api(`jobs/${id}`, { method: 'DELETE' });
      await attache.ended(id);
      visits += 1;
      await pause(MINUTE_MS - (performance.now() - begun));
      samples.push({ server: held(attache.pid), kiosk: held(kiosk.pid), recorder: held(recorder.pid) });
      if (minute % 10 === 0) console.error(JSON.stringify({ minute, ...samples.at(-1) }));
    }
    const [kioskAfter, recorderAfter] = [await attache.job(kiosk.id), await attache.job(recorder.id)];
    const frames = Math.max(...recorderAfter.peers.map((peer) => peer.video_frames));
    const stalls = [kioskAfter, recorderAfter].flatMap(({ stalls = {} }) => Object.values(stalls)).reduce((sum, count) => sum + count, 0);
    return {
      minutes: samples.length,
      visits,
      server: growth(samples, 'server'),
      kiosk: growth(samples, 'kiosk'),
      recorder: growth(samples, 'recorder'),
      restarts: kioskAfter.restarts + recorderAfter.restarts,
      stalls,
      recorded_pictures: frames,
      errors: [...kioskAfter.errors, ...recorderAfter.errors].length,
    };
  } finally {
    await attache.dispose();
  }
}
