// A real attache server for a test: started on a free port, its log kept for failures.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const BINARY = process.env.ATTACHE_BIN ?? join(ROOT, 'target/debug/attache');
const START_LIMIT_MS = 15_000;

export class Server {
  log = '';
  folder = mkdtempSync(join(tmpdir(), 'attache-test-'));
  /** @type {import('node:child_process').ChildProcess|null} */
  #process = null;
  #port = 0;
  #config;
  #environment;

  /** @param {string} config attache.toml's text @param {Record<string, string>} environment besides this process's */
  constructor(config = '', environment = {}) {
    this.#config = config;
    this.#environment = environment;
    cpSync(join(ROOT, 'pipelines'), this.pipelines, { recursive: true });
  }

  /** A copy of the shipped descriptions, for tests to edit. */
  get pipelines() {
    return join(this.folder, 'pipelines');
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Of the control process. */
  get pid() {
    return this.#process?.pid;
  }

  /** @param {string} room */
  room(room) {
    return `${this.url}/r/${room}`;
  }

  /** Starts it, or starts it again at the same address. */
  async start() {
    this.#port ||= await freePort();
    const file = join(this.folder, 'attache.toml');
    const jobs = `[jobs]\npipelines = "${this.pipelines}"\nrecordings = "${join(this.folder, 'recordings')}"\n`;
    // Tests put more on a machine than an operator would.
    const admission = this.#config.includes('[admission]') ? '' : '[admission]\nenabled = false\n';
    writeFileSync(file, `${this.#config}\n${admission}${jobs}`);
    const child = spawn(BINARY, ['serve', '--config', file, '--listen', `127.0.0.1:${this.#port}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, XDG_STATE_HOME: join(this.folder, 'state'), ...this.#environment },
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data) => {
        this.log += data;
      });
    }
    const deadline = Date.now() + START_LIMIT_MS;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`attache did not start:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it as an operator does. */
  stop() {
    return this.#end('SIGTERM');
  }

  /** Ends it as a crash does. */
  kill() {
    return this.#end('SIGKILL');
  }

  /** @param {string} path @param {RequestInit} [init] */
  async api(path, init) {
    const response = await fetch(`${this.url}/api/v1/${path}`, init);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? null : response.json();
  }

  /** @param {object} job */
  startJob(job) {
    return this.api('jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(job) });
  }

  async dispose() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #isReady() {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** @param {NodeJS.Signals} signal */
  async #end(signal) {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }
}

/** A port that nobody listens on now. */
export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
  probe.close();
  await once(probe, 'close');
  return port;
}
