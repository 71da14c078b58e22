// A job from the shell, as `attache kiosk|record --json` runs it: its events, line by line.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BINARY, ROOT } from './server.js';

/** @typedef {{event: string, [field: string]: any}} Event */

export class Job {
  /** @type {Event[]} */
  events = [];
  log = '';
  #process;
  /** @type {Promise<unknown>} */
  #ended;

  /** @param {'kiosk'|'record'} role @param {string} room its URL @param {string[]} options */
  constructor(role, room, options = []) {
    const pipelines = ['--pipelines', join(ROOT, 'pipelines')];
    this.#process = spawn(BINARY, [role, '--join', room, '--json', ...pipelines, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#ended = once(this.#process, 'exit');
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      // GLib says here, too, why it ends a process.
      if (line.startsWith('{')) this.events.push(JSON.parse(line));
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

/** A kiosk with a test picture small enough for two cores. @param {string} room its URL @param {string[]} options */
export function testKiosk(room, ...options) {
  const small = ['width=640', 'height=360', 'framerate=15', 'bitrate_kbps=600'].flatMap((value) => ['--set', value]);
  return new Job('kiosk', room, ['--description', 'kiosk-test', '--name', 'Front desk', ...small, ...options]);
}
