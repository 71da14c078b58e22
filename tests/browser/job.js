// A job from the shell, as `attache kiosk|record --json` runs it: its events, line by line.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BINARY, ROOT } from './server.js';

/** `at`: when it came, in milliseconds since 1970. @typedef {{event: string, at: number, [field: string]: any}} Event */

export class Job {
  /** @type {Event[]} */
  events = [];
  log = '';
  #process;
  /** @type {Promise<unknown>} */
  #ended;

  /** @param {'kiosk'|'record'|'relay'} role @param {string} room its URL @param {string[]} options @param {string[]} within what to put before the command @param {Record<string, string>} environment besides this process's */
  constructor(role, room, options = [], within = [], environment = {}) {
    const pipelines = ['--pipelines', join(ROOT, 'pipelines')];
    const [program, ...rest] = [...within, BINARY, role, '--join', room, '--json', ...pipelines, ...options];
    this.#process = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    this.#ended = once(this.#process, 'exit');
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      // GLib's last words before it aborts are no event.
      if (line.startsWith('{')) this.events.push({ ...JSON.parse(line), at: Date.now() });
      else this.log += `${line}\n`;
    });
    this.#process.stderr.on('data', (data) => {
      this.log += data;
    });
  }

  /** The newest event of a sort. @param {string} event @param {(event: Event) => boolean} [which] */
  last(event, which = () => true) {
    return this.events.filter((one) => one.event === event && which(one)).at(-1);
  }

  /** Asks it to end and waits until it has. @returns {Promise<number|null>} the exit code */
  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill('SIGTERM');
    await this.#ended;
    return this.#process.exitCode;
  }
}

const SMALL = ['width=640', 'height=360', 'framerate=15', 'bitrate_kbps=600'].flatMap((value) => ['--set', value]);
const TEST_KIOSK = ['--description', 'kiosk-test', '--name', 'Front desk', ...SMALL];

/** A kiosk with a test picture small enough for two cores. @param {string} room its URL @param {string[]} options */
export function testKiosk(room, ...options) {
  return new Job('kiosk', room, [...TEST_KIOSK, ...options]);
}

/** The same at the far end of a link. @param {import('./link.js').Link} link @param {string} room its URL, as seen from there @param {string[]} options */
export function distantKiosk(link, room, ...options) {
  return new Job('kiosk', room, [...TEST_KIOSK, ...options], link.within);
}
