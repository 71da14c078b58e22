// What a filter gives back of somebody, in the place of what that one sends, while it comes.

import { Choice } from './choice.js';

/** @import {MediaKind} from './types.js' */
/** @import {Tile} from './tile.js' */

const LOOK_EVERY_MS = 20;
/** Sound comes every 10 or 20 ms, pictures at least every 67; both are back within 200 ms. */
const PATIENCE_MS = { audio: 100, video: 150 };
/** From one sound to the other. */
const FADE_MS = 30;
const FADE_STEP_MS = 5;

export class Enhanced {
  #tile;
  #played;
  #choices = { audio: new Choice(PATIENCE_MS.audio), video: new Choice(PATIENCE_MS.video) };
  /** @type {Record<MediaKind, number|null>} */
  #last = { audio: null, video: null };
  /** @type {HTMLVideoElement|null} */
  #shown = null;
  /** @type {HTMLVideoElement|null} plays unheard until it takes over */
  #incoming = null;
  #speaker;
  /** How much of the filter's sound is heard, 0 to 1. */
  #volume = 0;
  #timer;
  #fade = 0;

  /**
   * @param {Tile} tile of the one whose tracks they are
   * @param {string} speaker the output device, empty for the default
   * @param {(kind: MediaKind) => number|null} played the RTP time of what was played last
   */
  constructor(tile, speaker, played) {
    this.#tile = tile;
    this.#speaker = speaker;
    this.#played = played;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** As a tile does. @param {MediaStream} stream @param {() => void} firstPicture */
  prepare(stream, firstPicture) {
    this.#incoming?.remove();
    const video = document.createElement('video');
    video.autoplay = true;
    video.playsInline = true;
    video.volume = 0;
    video.dataset.testid = 'enhanced-incoming';
    video.srcObject = stream;
    video.requestVideoFrameCallback?.(firstPicture);
    this.#incoming = video;
    this.#tile.lay(video);
  }

  /** As a tile does. @param {MediaStream} stream */
  show(stream) {
    const video = this.#incoming;
    if (!video || video.srcObject !== stream) return;
    this.#incoming = null;
    this.#shown?.remove();
    this.#shown = video;
    video.dataset.testid = 'enhanced-video';
    video.volume = this.#volume;
    this.setSpeaker(this.#speaker);
    this.#play(video);
  }

  /** Whatever its connection does: what is played follows from what comes. */
  waver() {}

  steady() {}

  /** @param {string} speaker */
  setSpeaker(speaker) {
    this.#speaker = speaker;
    if (this.#shown && 'setSinkId' in this.#shown) this.#shown.setSinkId(speaker).catch(() => {
      // Unplugged since it was chosen: the system's speaker plays on.
    });
  }

  /** The filter is gone: the original is back. */
  remove() {
    clearInterval(this.#timer);
    clearInterval(this.#fade);
    this.#tile.setVolume(1);
    this.#tile.setSource('audio', false);
    this.#tile.setSource('video', false);
    for (const video of [this.#shown, this.#incoming]) {
      if (!video) continue;
      video.srcObject = null;
      video.remove();
    }
  }

  #look() {
    const now = performance.now();
    for (const kind of /** @type {MediaKind[]} */ (['audio', 'video'])) {
      const played = this.#played(kind);
      const plays = this.#shown !== null && !this.#shown.paused;
      if (plays && played !== null && played !== this.#last[kind]) this.#choices[kind].frame(now);
      this.#last[kind] = played;
      const enhanced = this.#choices[kind].look(now);
      if (!this.#tile.setSource(kind, enhanced)) continue;
      if (kind === 'audio') this.#crossfade(enhanced ? 1 : 0);
    }
  }

  /** Two sounds of the same voice are never both loud, and none breaks off. @param {number} goal of the filter's volume */
  #crossfade(goal) {
    clearInterval(this.#fade);
    const step = Math.sign(goal - this.#volume) * (FADE_STEP_MS / FADE_MS);
    this.#fade = setInterval(() => {
      this.#volume = Math.min(1, Math.max(0, this.#volume + step));
      if (Math.abs(goal - this.#volume) < 0.01) this.#volume = goal;
      if (this.#shown) this.#shown.volume = this.#volume;
      this.#tile.setVolume(1 - this.#volume);
      if (this.#volume === goal) clearInterval(this.#fade);
    }, FADE_STEP_MS);
  }

  /** @param {HTMLVideoElement} video */
  async #play(video) {
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      // The browser wants a gesture before it makes sound; until then the tile plays the original, which asks for it.
      const hear = () => video.play().catch(() => {});
      for (const gesture of ['pointerdown', 'keydown']) document.addEventListener(gesture, hear, { once: true });
    }
  }
}
