// Who speaks, told from the loudness of everybody's sound; as recordings tell it (src/media/speaker.rs). Pure: times are
// passed in, in milliseconds.

/** Nothing quieter than this is a voice, in dB below full scale. */
const QUIETEST_VOICE = 50;
/** The noise of a quiet room; nobody's is taken to be lower. */
const QUIET_ROOM = 70;
/** A voice is so many decibels over what is heard between words. */
const OVER_THE_NOISE = 9;
/** A noise that stays is taken for the room's own: the floor rises by so many decibels in a second. */
const FLOOR_RISES = 3;
/** A pause of this length is still speech. */
const PAUSE_MS = 600;
/** Who is heard for so long while nobody else speaks becomes the active speaker: a cough does not. */
const TAKES_OVER_MS = 350;

/** @typedef {{floor: number, heard: number, began: number, last: number}} Voice `began` and `last` of what is being said */

export class Speakers {
  /** @type {Map<string, Voice>} */
  #voices = new Map();
  /** @type {string|null} */
  #active = null;

  /** Who spoke last; null: nobody has, or that one is gone. */
  get active() {
    return this.#active;
  }

  /** Somebody's sound is so loud. @param {string} who @param {number} loudness root mean square, 0 to 1 @param {number} now */
  heard(who, loudness, now) {
    const below = loudness > 0 ? Math.min(127, -20 * Math.log10(loudness)) : 127;
    const voice = this.#voices.get(who) ?? { floor: QUIET_ROOM, heard: now, began: -Infinity, last: -Infinity };
    this.#voices.set(who, voice);
    voice.floor = Math.max(Math.min(below, QUIET_ROOM), voice.floor - (FLOOR_RISES * (now - voice.heard)) / 1000);
    voice.heard = now;
    if (below <= QUIETEST_VOICE && below + OVER_THE_NOISE <= voice.floor) {
      if (now - voice.last > PAUSE_MS) voice.began = now;
      voice.last = now;
    }
    this.#choose(now);
  }

  /** Somebody is muted or gone. @param {string} who @param {boolean} gone */
  silent(who, gone) {
    this.#voices.delete(who);
    if (gone && this.#active === who) this.#active = null;
  }

  /** Whether somebody speaks now, or paused just a moment ago. @param {string} who @param {number} now */
  isSpeaking(who, now) {
    const voice = this.#voices.get(who);
    return voice !== undefined && now - voice.last <= PAUSE_MS;
  }

  /** @param {number} now */
  #choose(now) {
    if (this.#active !== null && this.isSpeaking(this.#active, now)) return;
    const speak = [...this.#voices].filter(([who, { began, last }]) => this.isSpeaking(who, now) && last - began >= TAKES_OVER_MS);
    const [first] = speak.sort(([, a], [, b]) => a.began - b.began);
    if (first) [this.#active] = first;
  }
}
