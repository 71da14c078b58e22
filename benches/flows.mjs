// Kiosks behind one link that carries less than they could send: what passes, what waits, and what pages make of it.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

import { Job } from '../tests/browser/job.js';
import { Link } from '../tests/browser/link.js';
import { enter, firstPicture, openLobby } from './browser.mjs';

/** What the link holds before it drops. */
const QUEUE_MS = 300;
const SAMPLE_MS = 50;
/** A picture that moves and takes whatever an encoder is allowed; its tiers are 3000, 1000 and 333 kb/s. */
const PICTURE = ['pattern=zone-plate', 'width=1280', 'height=720', 'framerate=30', 'bitrate_kbps=3000'].flatMap((value) => ['--set', value]);

/** The far end's way out: a rate, a queue before it. */
function shape(link, kbps, act = 'replace') {
  link.run('tc', 'qdisc', act, 'dev', link.far, 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', '1600', 'latency', `${QUEUE_MS}ms`);
}

/** Bytes that passed the far end's way out, and how long what waits there takes. */
function look(link, kbps) {
  const [found] = JSON.parse(execFileSync('ip', ['netns', 'exec', link.name, 'tc', '-s', '-j', 'qdisc', 'show', 'dev', link.far]).toString());
  return { bytes: found.bytes, queue_ms: (found.backlog * 8) / kbps };
}

/** Runs in the page before its own code: its connections can be asked. */
function keepConnections() {
  const Native = window.RTCPeerConnection;
  window.kept = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...options) {
      super(...options);
      window.kept.push(this);
    }
  };
}

/** Runs in the page: what has come so far (W3C WebRTC Statistics). */
async function received() {
  const sum = { bytes: 0, frozen_s: 0, samples: 0, concealed: 0, pictures: 0 };
  for (const connection of window.kept) {
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type === 'candidate-pair' && entry.nominated) sum.bytes += entry.bytesReceived;
      if (entry.type !== 'inbound-rtp') continue;
      sum.frozen_s += entry.totalFreezesDuration ?? 0;
      sum.pictures += entry.framesDecoded ?? 0;
      sum.samples += entry.totalSamplesReceived ?? 0;
      // Made up where there was sound; silence may be left out by the sender.
      sum.concealed += (entry.concealedSamples ?? 0) - (entry.silentConcealedSamples ?? 0);
    }
  }
  return sum;
}

/** The estimates that a kiosk's log tells, in kb/s, with seconds since 1970. */
function estimates(log) {
  const found = log.matchAll(/^(\S+Z) .*target_kbps=([\d.]+)/gm);
  return [...found].map(([, at, kbps]) => ({ at: Date.parse(at), kbps: Number(kbps) }));
}

/** Somebody who sends as much as TCP can from the far end, until it is ended. */
async function download(link) {
  const server = createServer((socket) => socket.resume().on('error', () => {}));
  await once(server.listen(0, link.here), 'listening');
  const [program, ...rest] = link.within;
  const sender = spawn(program, [...rest, 'bash', '-c', `exec cat /dev/zero > /dev/tcp/${link.here}/${server.address().port}`], { stdio: 'ignore' });
  return async () => {
    sender.kill('SIGKILL');
    await once(sender, 'exit');
    server.close();
  };
}

/** One kiosk, and the page of one who watches it. */
class Flow {
  constructor(job, page) {
    this.job = job;
    this.page = page;
  }

  static async begin({ attache, browser, link, rooms }, room) {
    const job = new Job('kiosk', `${rooms}${room}`, ['--description', 'kiosk-test', ...PICTURE], link.within, { RUST_LOG: 'info,attache::peer=trace', NO_COLOR: '1' });
    const page = await openLobby(browser, attache.url, { sends: false, before: keepConnections });
    await enter(page, room);
    await firstPicture(page);
    return new Flow(job, page);
  }

  received() {
    return this.page.evaluate(received);
  }

  /** What its log and events tell, by milliseconds since a moment. */
  told(begun) {
    const since = ({ at, ...rest }) => ({ at: at - begun, ...rest });
    const tiers = this.job.events.filter(({ event }) => event === 'tier').map(({ at, tier }) => ({ at, tier: tier ?? 'sound only' }));
    return { estimates: estimates(this.job.log).map(since), tiers: tiers.map(since) };
  }

  async end() {
    await this.page.context().close();
    await this.job.stop();
  }
}

/**
 * Runs a case: `rates` are the link's from these seconds on, `loss` the part of the packets that is lost, `flows` how many
 * kiosks there are, `tcp` whether somebody downloads beside them. Of what pages receive, the time from `from` seconds on counts.
 */
export async function run(attache, browser, { rates, loss = 0, flows: count = 1, tcp = false, from = 0, seconds }) {
  const link = new Link();
  const signalling = link.beside();
  const flows = [];
  let endDownload = async () => {};
  let kbps = rates[0][1];
  shape(link, kbps);
  if (loss) link.lose(loss);
  try {
    // A second door would close the first one.
    const rooms = await signalling.door(`${attache.url}/r/`);
    while (flows.length < count) flows.push(await Flow.begin({ attache, browser, link, rooms }, `link-${flows.length}`));
    if (tcp) endDownload = await download(link);
    const all = () => Promise.all(flows.map((flow) => flow.received()));
    const begun = Date.now();
    const samples = [];
    let first = null;
    let before = look(link, kbps).bytes;
    for (let at = 0; at < seconds * 1000; at = Date.now() - begun) {
      const wanted = rates.findLast(([since]) => since * 1000 <= at)[1];
      if (wanted !== kbps) shape(link, (kbps = wanted));
      if (first === null && at >= from * 1000) first = { at, received: await all() };
      const { bytes, queue_ms } = look(link, kbps);
      // A shaper that was changed counts anew.
      samples.push({ at, link_kbps: kbps, bytes: Math.max(0, bytes - before), queue_ms });
      before = bytes;
      await pause(SAMPLE_MS);
    }
    const last = await all();
    const lasted = Date.now() - begun - first.at;
    const pages = last.map((end, index) => {
      const entries = Object.entries(end).map(([name, value]) => [name, value - first.received[index][name]]);
      return { ...Object.fromEntries(entries), seconds: lasted / 1000 };
    });
    return { samples, pages, ...flows[0].told(begun) };
  } finally {
    await endDownload();
    for (const flow of flows) await flow.end();
    signalling.remove();
    link.remove();
  }
}
