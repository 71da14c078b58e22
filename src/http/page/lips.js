// Keeps lips with a filtered voice: the original is held back until it is as late as the filter's sound. Its picture stays
// with its own sound, so it fits the filter's, too; and should the filter fail, the original goes on at the same word.

import { measureLag, prepareToMeasure } from './lag.js';

/** A difference that nobody sees; smaller ones are not worth a change of pace. */
const SMALL_MS = 12;
/** After the change from one sound to the other, which a measurement would disturb. */
const FIRST_MS = 1000;
/** The browser changes its pace slowly, so that nobody hears it. */
const SETTLE_MS = 2500;
const REST_MS = 15000;
const MOST_MS = 500;

/**
 * @typedef {object} LipsSettings
 * @property {() => MediaStream|null} original
 * @property {() => MediaStream|null} enhanced
 * @property {() => Promise<{seconds: number, count: number}|null>} waited how long the original's sound has waited in the browser so far, and how much of it
 * @property {(milliseconds: number) => void} hold lets the original wait at least so long
 */

export class Lips {
  #settings;
  #timer = 0;
  /** Counts the starts: a look that began before the last one counts no more. 0: the original is heard. */
  #run = 0;
  #runs = 0;

  /** @param {LipsSettings} settings */
  constructor(settings) {
    this.#settings = settings;
    // What goes wrong shows with the first measurement.
    prepareToMeasure().catch(() => {});
  }

  /** The filter's sound is heard. */
  start() {
    if (this.#run) return;
    this.#run = this.#runs += 1;
    const run = this.#run;
    this.#timer = setTimeout(() => this.#round(run), FIRST_MS);
  }

  /** The original is heard: it is not late any more. */
  stop() {
    this.#run = 0;
    clearTimeout(this.#timer);
    this.#settings.hold(0);
  }

  /** @param {number} run */
  async #round(run) {
    const wait = await this.#look(run).catch((error) => {
      // Without it everything is heard all the same.
      console.warn('the lag of a filter cannot be measured:', error);
      return REST_MS;
    });
    if (run === this.#run) this.#timer = setTimeout(() => this.#round(run), wait);
  }

  /** @param {number} run @returns {Promise<number>} milliseconds until the next look */
  async #look(run) {
    const { original, enhanced, waited, hold } = this.#settings;
    const [first, second] = [original(), enhanced()];
    const before = await waited();
    if (!first || !second || !before) return SETTLE_MS;
    const lag = await measureLag(first, second);
    const after = await waited();
    if (run !== this.#run || lag === null || !after || after.count <= before.count) return SETTLE_MS;
    if (Math.abs(lag) < SMALL_MS) return REST_MS;
    const now = (1000 * (after.seconds - before.seconds)) / (after.count - before.count);
    hold(Math.min(MOST_MS, Math.max(0, Math.round(now + lag))));
    return SETTLE_MS;
  }
}
