// What a mixed recording costs beside the decoders and encoders in it, which run alone in gst-launch for comparison.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Attache } from './attache.mjs';
import { cost } from './processes.mjs';

const PEOPLE = 2;
const SETTLE_MS = 4_000;
const SECONDS = 15;

/** The encoder's settings as attache sets them for 1280x720 at 2.5 Mb/s. */
const VP8 = [
  'vp8enc', 'deadline=1', 'cpu-used=-8', 'lag-in-frames=0', 'threads=2', 'end-usage=cbr', 'target-bitrate=2500000',
  'buffer-size=1000', 'buffer-initial-size=500', 'buffer-optimal-size=600', 'undershoot=100', 'overshoot=15',
  'min-quantizer=2', 'max-quantizer=56', 'static-threshold=1', 'keyframe-max-dist=1500',
];
const OPUS = ['opusenc', 'bitrate=96000', 'frame-size=20', 'inband-fec=true', 'packet-loss-percentage=10'];
const PACED = ['fakesink', 'sync=true'];

/** What a recorder of this description costs in the room of the kiosks. */
async function recorder(attache, description) {
  const { id } = await attache.attend({ role: 'recorder', room: 'mixed', description });
  await attache.peers(id, PEOPLE);
  await pause(SETTLE_MS);
  const measured = await cost((await attache.job(id)).pid, SECONDS);
  await attache.api(`jobs/${id}`, { method: 'DELETE' });
  await attache.ended(id);
  return measured;
}

/** The files that were recorded of both. */
function files(attache) {
  const folder = join(attache.folder, 'recordings');
  const [recording] = readdirSync(folder);
  const found = readdirSync(join(folder, recording)).filter((name) => name.endsWith('.webm'));
  if (found.length !== PEOPLE) throw new Error(`recorded ${found.join(', ')}, not a file of each`);
  return found.map((name) => join(folder, recording, name));
}

/** Decodes both files at their pace, and encodes what is in the first one. */
async function codecsAlone(recordings) {
  const arguments_ = recordings.flatMap((file, index) => {
    const encodes = index === 0;
    const rate = ['!', 'videorate', '!', 'video/x-raw,framerate=25/1', '!', ...VP8];
    return [
      'filesrc', `location=${file}`, '!', 'matroskademux', `name=d${index}`,
      `d${index}.video_0`, '!', 'queue', '!', 'vp8dec', ...(encodes ? rate : []), '!', ...PACED,
      `d${index}.audio_0`, '!', 'queue', '!', 'opusdec', ...(encodes ? ['!', ...OPUS] : []), '!', ...PACED,
    ];
  });
  const launch = spawn('gst-launch-1.0', ['-q', ...arguments_], { stdio: 'ignore' });
  try {
    await pause(2_000);
    if (launch.exitCode !== null) throw new Error('gst-launch-1.0 did not decode what was recorded');
    return await cost(launch.pid, SECONDS);
  } finally {
    launch.kill();
  }
}

export async function measureMixed() {
  const attache = await Attache.begin();
  try {
    for (let kiosk = 0; kiosk < PEOPLE; kiosk += 1) {
      await attache.attend({ role: 'kiosk', room: 'mixed', description: 'kiosk-test' });
    }
    const received = await recorder(attache, 'recorder');
    const alone = await codecsAlone(files(attache));
    const mixed = await recorder(attache, 'recorder-mixed');
    return {
      seconds: SECONDS,
      people: PEOPLE,
      received,
      codecs_alone: alone,
      mixed,
      over_codecs: mixed.cores / alone.cores - 1,
      over_codecs_and_reception: mixed.cores / (alone.cores + received.cores) - 1,
    };
  } finally {
    await attache.dispose();
  }
}
