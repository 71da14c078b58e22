// What a kiosk sends over links of different rates, and what that does to them: rate, estimate and queue over time.

import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

import { Job } from '../tests/browser/job.js';
import { Link } from '../tests/browser/link.js';
import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { rounded } from './report.mjs';

const ROOM = 'link';
const QUEUE_MS = 300;
const SAMPLE_MS = 50;
const PICTURE = ['pattern=snow', 'width=640', 'height=360', 'framerate=30', 'bitrate_kbps=4000'].flatMap((value) => ['--set', value]);

/** Each case: the link's rate from these seconds on, the part of the packets that is lost, and how long it lasts. */
const CASES = {
  start_1000: { rates: [[0, 1000]], seconds: 20 },
  gain: { rates: [[0, 1000], [20, 2500]], seconds: 40 },
  loss_of_rate: { rates: [[0, 2500], [20, 600]], seconds: 35 },
  random_loss: { rates: [[0, 2000]], loss: 0.1, seconds: 40 },
};

/** The far end's way out: a rate, a queue of 300 ms before it. */
function shape(link, kbps, act = 'replace') {
  link.run('tc', 'qdisc', act, 'dev', link.far, 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', '1600', 'latency', `${QUEUE_MS}ms`);
}

/** Bytes that passed the far end's way out, and how long what waits there takes. */
function look(link, kbps) {
  const [found] = JSON.parse(execFileSync('ip', ['netns', 'exec', link.name, 'tc', '-s', '-j', 'qdisc', 'show', 'dev', link.far]).toString());
  return { bytes: found.bytes, queue_ms: (found.backlog * 8) / kbps };
}

/** The estimates that the kiosk's log tells, in kb/s, with seconds since 1970. */
function estimates(log) {
  const found = log.matchAll(/^(\S+Z) .*target_kbps=([\d.]+)/gm);
  return [...found].map(([, at, kbps]) => ({ at: Date.parse(at), kbps: Number(kbps) }));
}

async function run(attache, browser, { rates, loss = 0, seconds }) {
  const link = new Link();
  const signalling = link.beside();
  let kbps = rates[0][1];
  shape(link, kbps);
  if (loss) link.lose(loss);
  const door = await signalling.door(`${attache.url}/r/${ROOM}`);
  const kiosk = new Job('kiosk', door, ['--description', 'kiosk-test', ...PICTURE], link.within, { RUST_LOG: 'info,attache::peer=trace', NO_COLOR: '1' });
  const page = await openLobby(browser, attache.url, { sends: false });
  try {
    await enter(page, ROOM);
    await firstPicture(page);
    const begun = Date.now();
    const samples = [];
    let before = look(link, kbps).bytes;
    for (let at = 0; at < seconds * 1000; at = Date.now() - begun) {
      const wanted = rates.findLast(([from]) => from * 1000 <= at)[1];
      if (wanted !== kbps) shape(link, (kbps = wanted));
      const { bytes, queue_ms } = look(link, kbps);
      // A shaper that was changed counts anew.
      samples.push({ at, link_kbps: kbps, bytes: Math.max(0, bytes - before), queue_ms });
      before = bytes;
      await pause(SAMPLE_MS);
    }
    await kiosk.stop();
    return { samples, estimates: estimates(kiosk.log).map(({ at, kbps: estimate }) => ({ at: at - begun, kbps: estimate })) };
  } finally {
    await page.context().close();
    await kiosk.stop();
    signalling.remove();
    link.remove();
  }
}

const between = (samples, from, until) => samples.filter(({ at }) => at >= from && at < until);

/** Kilobits per second that passed in a time. */
function rate(samples, from, until) {
  const bytes = between(samples, from, until).reduce((sum, sample) => sum + sample.bytes, 0);
  return (bytes * 8) / (until - from);
}

/** Milliseconds from a moment until the rate over a second first is so high. */
function timeTo(samples, from, kbps) {
  const reached = samples.find(({ at }) => at >= from + 1000 && rate(samples, at - 1000, at) >= kbps);
  return reached ? reached.at - from : null;
}

function figures(name, { samples, estimates: told }) {
  const queues = samples.map(({ queue_ms }) => queue_ms).sort((a, b) => a - b);
  const after = (from) => told.find(({ at, kbps }) => at >= from && kbps <= 720);
  const common = { queue_p95_ms: queues[Math.floor(queues.length * 0.95)], told: told.length };
  if (name === 'start_1000') return { ...common, to_90_percent_ms: timeTo(samples, 0, 900), used: rate(samples, 5000, 20_000) / 1000 };
  if (name === 'gain') return { ...common, to_90_percent_ms: timeTo(samples, 20_000, 2250) };
  if (name === 'random_loss') return { ...common, kbps: rate(samples, 5000, 40_000) };
  const reaction = after(20_000);
  return { ...common, reaction_ms: reaction ? reaction.at - 20_000 : null, queue_peak_ms: Math.max(...between(samples, 20_000, 35_000).map(({ queue_ms }) => queue_ms)) };
}

export async function measureLink(only) {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'small.mjpeg' });
  const results = {};
  try {
    for (const [name, one] of Object.entries(CASES)) {
      if (only === undefined || only === name) results[name] = figures(name, await run(attache, browser, one));
    }
    return results;
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

// `ATTACHE_BIN=target/release/attache node benches/link.mjs [case]` prints what was measured.
if (process.argv[1] === new URL(import.meta.url).pathname) console.log(JSON.stringify(rounded(await measureLink(process.argv[2])), null, 1));
