// Which of two tracks of the same person is heard or seen: as it came, or the one that a filter gives back. Pure: times
// are passed in, in milliseconds.

/** A filter's track has to come for so long without a gap before it is taken. */
const STEADY_MS = 300;
/** The same after it has failed once. */
const STEADY_AGAIN_MS = 1000;

export class Choice {
  #patience;
  #steady = STEADY_MS;
  /** The filter's last frame, and the first after which there was no gap. @type {{last: number, first: number}|null} */
  #frames = null;
  #enhanced = false;

  /** @param {number} patience milliseconds without a frame after which the original is back */
  constructor(patience) {
    this.#patience = patience;
  }

  /** A frame of the filter came. @param {number} at */
  frame(at) {
    const follows = this.#frames && at - this.#frames.last <= this.#patience;
    this.#frames = { last: at, first: follows && this.#frames ? this.#frames.first : at };
  }

  /** @param {number} now @returns {boolean} whether the filter's track is to be heard or seen */
  look(now) {
    const comes = this.#frames !== null && now - this.#frames.last <= this.#patience;
    if (!comes) {
      if (this.#enhanced) this.#steady = STEADY_AGAIN_MS;
      this.#enhanced = false;
    } else if (this.#frames && now - this.#frames.first >= this.#steady) {
      this.#enhanced = true;
    }
    return this.#enhanced;
  }
}
