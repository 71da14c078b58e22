// A server of its own for a measurement, and its jobs.

import { setTimeout as pause } from 'node:timers/promises';

import { BINARY, Server } from '../tests/browser/server.js';

const LIMIT_MS = 20_000;

/** Asks until the answer is something, within a limit. */
async function until(what, ask) {
  const end = performance.now() + LIMIT_MS;
  while (performance.now() < end) {
    const answer = await ask();
    if (answer) return answer;
    await pause(20);
  }
  throw new Error(`waited ${LIMIT_MS / 1000} s for ${what}`);
}

export class Attache extends Server {
  /** Starts `attache serve` on a free port of 127.0.0.1 and waits until it is ready. */
  static async begin(config = '', environment = {}) {
    const isRelease = BINARY.includes('/release/');
    if (!isRelease && !process.env.ATTACHE_BENCH_DEBUG) {
      throw new Error(`${BINARY} is no release build; name one by ATTACHE_BIN, or try a script by ATTACHE_BENCH_DEBUG=1`);
    }
    const attache = new Attache(config, environment);
    await attache.start();
    return attache;
  }

  job(id) {
    return this.api(`jobs/${id}`);
  }

  /** Starts a job and waits until it is in its room. */
  async attend(spec) {
    const { id } = await this.startJob(spec);
    return until(`the ${spec.role} to join`, async () => {
      const job = await this.job(id);
      if (job.state === 'failed') throw new Error(`the ${spec.role} failed: ${job.last_error}`);
      return job.state === 'joined' && job;
    });
  }

  /** Gives a running job other values. */
  set(id, parameters) {
    const init = { method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(parameters) };
    return this.api(`jobs/${id}/parameters`, init);
  }

  /** Waits until a job uses this encoder. */
  encoder(id, name) {
    return until(`the encoder ${name}`, async () => (await this.job(id)).encoders.some(({ encoder }) => encoder === name));
  }

  /** Waits until a job that was asked to end has ended. */
  ended(id) {
    return until('a job to end', async () => (await this.job(id)).state === 'stopped');
  }

  /** Waits until a job has so many connected peers. */
  peers(id, count) {
    return until(`${count} peers of a job`, async () => {
      const job = await this.job(id);
      return job.peers.filter(({ state }) => state === 'connected').length === count && job;
    });
  }
}
