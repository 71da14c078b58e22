// What a filter gives back of somebody, or a relay passes on, in the place of what that one sends, while it comes.

import { Choice } from './choice.js';
import { Lips } from './lips.js';
import { Player, streamOf } from './player.js';

/** @import {MediaKind, Sends} from './types.js' */
/** @import {Tile} from './tile.js' */

const LOOK_EVERY_MS = 20;
/** Sound comes every 10 or 20 ms, pictures at least every 67; both are back within 200 ms. */
const PATIENCE_MS = { audio: 100, video: 150 };
/** The original that would be back is not even sent while a relay works: it may falter for longer. */
const RELAY_PATIENCE_MS = { audio: 400, video: 800 };
/** Who is relayed is told to send nothing here once the relay has brought all of it for so long. */
const SERVED_MS = 1000;
/** From one sound to the other. */
const FADE_MS = 30;
const FADE_STEP_MS = 5;

/**
 * @typedef {object} EnhancedSources
 * @property {(kind: MediaKind) => number|null} played the RTP time of what was played last of the filter's
 * @property {() => Promise<{seconds: number, count: number}|null>} waited of the original's sound, see `Lips`
 * @property {(milliseconds: number) => void} hold of the original, see `Lips`
 * @property {(() => {sends: Sends, stays: boolean})|null} relays of a relay: what its source sends, and whether it goes on itself; null: it is a filter
 * @property {(wanted: boolean) => void} want has the source send here itself, or not
 */

export class Enhanced {
  #tile;
  #played;
  #relays;
  #want;
  /** Since when the relay has brought all that its source sends. @type {number|null} */
  #served = null;
  #isWanted = true;
  #choices;
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
  constructor(tile, speaker, { played, waited, hold, relays, want }) {
    this.#tile = tile;
    this.#played = played;
    this.#relays = relays;
    this.#want = want;
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
    const patience = relays ? RELAY_PATIENCE_MS : PATIENCE_MS;
    this.#choices = { audio: new Choice(patience.audio), video: new Choice(patience.video) };
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
    this.#setWanted(true);
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
      // A relay brings the picture, too.
      if (enhanced && !this.#relays) this.#lips.start();
      else this.#lips.stop();
    }
    if (this.#relays) this.#judge(now, this.#relays());
  }

  /** Whether the source is to send here itself. @param {number} now @param {{sends: Sends, stays: boolean}} relays */
  #judge(now, { sends, stays }) {
    const kinds = /** @type {MediaKind[]} */ (['audio', 'video']).filter((kind) => sends[kind]);
    const brings = stays && kinds.length > 0 && kinds.every((kind) => this.#choices[kind].look(now));
    this.#served = brings ? this.#served ?? now : null;
    // Who sends nothing need not be told.
    if (kinds.length > 0) this.#setWanted(this.#served === null || now - this.#served < SERVED_MS);
  }

  /** @param {boolean} wanted */
  #setWanted(wanted) {
    if (wanted === this.#isWanted) return;
    this.#isWanted = wanted;
    this.#want(wanted);
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
