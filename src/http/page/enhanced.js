// What a filter gives back of somebody, in the place of what that one sends, while it comes.

import { Choice } from './choice.js';
import { Lips } from './lips.js';
import { Player, streamOf } from './player.js';

/** @import {MediaKind} from './types.js' */
/** @import {Tile} from './tile.js' */

const LOOK_EVERY_MS = 20;
/** Sound comes every 10 or 20 ms, pictures at least every 67; both are back within 200 ms. */
const PATIENCE_MS = { audio: 100, video: 150 };
/** From one sound to the other. */
const FADE_MS = 30;
const FADE_STEP_MS = 5;

/**
 * @typedef {object} EnhancedSources
 * @property {(kind: MediaKind) => number|null} played the RTP time of what was played last of the filter's
 * @property {() => Promise<{seconds: number, count: number}|null>} waited of the original's sound, see `Lips`
 * @property {(milliseconds: number) => void} hold of the original, see `Lips`
 */

export class Enhanced {
  #tile;
  #played;
  #choices = { audio: new Choice(PATIENCE_MS.audio), video: new Choice(PATIENCE_MS.video) };
  /** @type {Record<MediaKind, number|null>} */
  #last = { audio: null, video: null };
  #player;
  #lips;
  /** How much of the filter's sound is heard, 0 to 1. */
  #volume = 0;
  #timer;
  #fade = 0;

  /**
   * @param {Tile} tile of the one whose tracks they are
   * @param {string} speaker the output device, empty for the default
   * @param {EnhancedSources} sources
   */
  constructor(tile, speaker, { played, waited, hold }) {
    this.#tile = tile;
    this.#played = played;
    this.#player = new Player({ place: tile.place, name: 'enhanced-video', speaker, volume: 0 });
    this.#lips = new Lips({
      original: () => tile.stream,
      enhanced: () => streamOf(this.#player.video),
      waited,
      hold: (milliseconds) => {
        tile.element.dataset.held = String(milliseconds);
        hold(milliseconds);
      },
    });
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** As a tile does. @param {MediaStream} stream @param {() => void} firstPicture */
  prepare(stream, firstPicture) {
    this.#player.prepare(stream, firstPicture);
  }

  /** As a tile does. @param {MediaStream} stream */
  show(stream) {
    this.#player.show(stream);
  }

  /** Whatever its connection does: what is played follows from what comes. */
  waver() {}

  steady() {}

  /** @param {boolean} _paused the original is seen meanwhile, or nothing */
  setPaused(_paused) {}

  /** @param {string} speaker */
  setSpeaker(speaker) {
    this.#player.setSpeaker(speaker);
  }

  /** The filter is gone: the original is back. */
  remove() {
    clearInterval(this.#timer);
    clearInterval(this.#fade);
    this.#lips.stop();
    this.#tile.setVolume(1);
    this.#tile.setSource('audio', false);
    this.#tile.setSource('video', false);
    this.#player.remove();
  }

  #look() {
    const now = performance.now();
    for (const kind of /** @type {MediaKind[]} */ (['audio', 'video'])) {
      const played = this.#played(kind);
      const plays = this.#player.video !== null && !this.#player.video.paused;
      if (plays && played !== null && played !== this.#last[kind]) this.#choices[kind].frame(now);
      this.#last[kind] = played;
      const enhanced = this.#choices[kind].look(now);
      if (!this.#tile.setSource(kind, enhanced)) continue;
      if (kind === 'video') continue;
      this.#crossfade(enhanced ? 1 : 0);
      if (enhanced) this.#lips.start();
      else this.#lips.stop();
    }
  }

  /** Two sounds of the same voice are never both loud, and none breaks off. @param {number} goal of the filter's volume */
  #crossfade(goal) {
    clearInterval(this.#fade);
    const from = this.#volume;
    const began = performance.now();
    this.#fade = setInterval(() => {
      // By the clock: a busy browser's timers come late.
      const done = Math.min(1, (performance.now() - began) / FADE_MS);
      this.#volume = from + (goal - from) * done;
      this.#player.setVolume(this.#volume);
      this.#tile.setVolume(1 - this.#volume);
      if (done === 1) clearInterval(this.#fade);
    }, FADE_STEP_MS);
  }
}
