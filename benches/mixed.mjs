// What a mixed recording costs beside the decoders and encoders in it, which run alone in gst-launch for comparison.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Attache } from './attache.mjs';
import { cost } from './processes.mjs';
import { measuredByTest } from './test.mjs';

const PEOPLE = 2;
const SETTLE_MS = 4_000;
const SECONDS = 15;
/** Less than what was recorded. */
const ALONE_S = 10;

/** As attache: libvpx's threads spin while they wait for each other, so half of the cores are left to others. */
const THREADS = Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)));

/** The encoder's settings as attache sets them for 1280x720 at 2.5 Mb/s. */
const VP8 = [
  'vp8enc', 'deadline=1', 'cpu-used=-8', 'lag-in-frames=0', `threads=${THREADS}`, 'end-usage=cbr', 'target-bitrate=2500000',
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

/** The media files of all recordings: of each person, and the film. */
function files(attache) {
  const folder = join(attache.folder, 'recordings');
  const found = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.webm'));
  const film = found.filter((name) => name.includes('everybody'));
  if (film.length !== 1 || found.length !== PEOPLE + 1) throw new Error(`recorded ${found.join(', ')}: not a film and a file of each`);
  return { film: join(folder, film[0]), people: found.filter((name) => name !== film[0]).map((name) => join(folder, name)) };
}

/** A launch text that decodes a file at its pace, and encodes it again. */
function play(file, name, encodes) {
  const [video, audio] = encodes ? [['!', ...VP8], ['!', ...OPUS]] : [[], []];
  return [
    'filesrc', `location=${file}`, '!', 'matroskademux', `name=${name}`,
    `${name}.video_0`, '!', 'queue', '!', 'vp8dec', ...video, '!', ...PACED,
    `${name}.audio_0`, '!', 'queue', '!', 'opusdec', ...audio, '!', ...PACED,
  ];
}

async function launched(arguments_) {
  const launch = spawn('gst-launch-1.0', ['-q', ...arguments_], { stdio: 'ignore' });
  try {
    await pause(2_000);
    const measured = await cost(launch.pid, ALONE_S);
    if (launch.exitCode !== null) throw new Error('gst-launch-1.0 did not play what was recorded to the end');
    return measured.cores;
  } finally {
    launch.kill();
  }
}

/** Decoders of what came and encoders of the film: what decodes the film for them is measured alone and taken off. */
async function codecsAlone({ film, people }) {
  const decoders = people.flatMap((file, index) => play(file, `person${index}`, false));
  const all = await launched([...decoders, ...play(film, 'film', true)]);
  return all - (await launched(play(film, 'film', false)));
}

async function costs() {
  const attache = await Attache.begin();
  try {
    for (let kiosk = 0; kiosk < PEOPLE; kiosk += 1) {
      await attache.attend({ role: 'kiosk', room: 'mixed', description: 'kiosk-test' });
    }
    const received = await recorder(attache, 'recorder');
    const mixed = await recorder(attache, 'recorder-mixed');
    const alone = await codecsAlone(files(attache));
    return {
      seconds: SECONDS,
      people: PEOPLE,
      received,
      codecs_alone: { cores: alone },
      mixed,
      over_codecs: mixed.cores / alone - 1,
      over_codecs_and_reception: mixed.cores / (alone + received.cores) - 1,
    };
  } finally {
    await attache.dispose();
  }
}

export async function measureMixed() {
  const measured = await costs();
  return { ...measured, apart: measuredByTest('mixed', 'how_far_apart_sound_and_picture_are_in_ten_mixes') };
}
