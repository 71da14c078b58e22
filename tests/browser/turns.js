// Who may run beside whom: a test that changes this machine's network has the machine to itself, since Chromium gives up
// every connection that is being made meanwhile (ERR_NETWORK_CHANGED), and a page without one of its modules stays blank.

import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How many tests run at the same time. */
export const WORKERS = 2;
/** One for each run: the workers are children of one process. */
const folder = (/** @type {number} */ run, /** @type {number} */ worker) => join(tmpdir(), `attache-turn-${run}-${worker}`);

/** Before the first test: what a run that was killed left is gone. @param {number} run the process of the run */
export function clearTurns(run) {
  for (let worker = 0; worker < WORKERS; worker += 1) rmSync(folder(run, worker), { recursive: true, force: true });
}

/**
 * Waits for the turn of a test: of its own worker, or of all workers where it is to be alone.
 * @param {number} worker its number @param {boolean} isAlone @returns {Promise<() => void>} gives the turn back
 */
export async function takeTurn(worker, isAlone) {
  // All in the same order, so that nobody waits for one who waits for it.
  const wanted = isAlone ? Array.from({ length: WORKERS }, (_, index) => index) : [worker];
  for (const index of wanted) {
    while (!take(folder(process.ppid, index))) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return () => wanted.forEach((index) => rmSync(folder(process.ppid, index), { recursive: true }));
}

/** @param {string} path a folder is made by one only */
function take(path) {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}
