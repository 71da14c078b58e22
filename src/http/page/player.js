// Plays what comes from one participant: prepared unseen and unheard beside what plays, until it takes over.

/**
 * @typedef {object} PlayerSettings
 * @property {HTMLElement} place where pictures go
 * @property {string} name what the playing one is called: `tile-video`; the prepared one is `incoming-` and so on
 * @property {string} speaker the output device, empty for the default
 * @property {number} volume 0 to 1
 * @property {() => void} [blocked] the browser wants a gesture before it makes sound
 * @property {() => void} [heard] the gesture came
 */

/** @param {HTMLVideoElement|null} video @returns {MediaStream|null} */
export function streamOf(video) {
  return video?.srcObject instanceof MediaStream ? video.srcObject : null;
}

export class Player {
  #settings;
  #speaker;
  #volume;
  /** @type {HTMLVideoElement|null} */
  #shown = null;
  /** @type {HTMLVideoElement|null} */
  #incoming = null;

  /** @param {PlayerSettings} settings */
  constructor(settings) {
    this.#settings = settings;
    this.#speaker = settings.speaker;
    this.#volume = settings.volume;
  }

  /** What is seen and heard; null: nothing yet. */
  get video() {
    return this.#shown;
  }

  /** @param {MediaStream} stream @param {() => void} firstPicture */
  prepare(stream, firstPicture) {
    this.#incoming?.remove();
    const video = document.createElement('video');
    video.autoplay = true;
    video.playsInline = true;
    video.muted = true;
    video.dataset.testid = `incoming-${this.#settings.name}`;
    video.srcObject = stream;
    video.requestVideoFrameCallback?.(firstPicture);
    this.#incoming = video;
    this.#settings.place.append(video);
  }

  /** Lets the prepared stream take over. @param {MediaStream} stream @returns {HTMLVideoElement|null} null: it was not prepared */
  show(stream) {
    const video = this.#incoming;
    if (!video || video.srcObject !== stream) return null;
    this.#incoming = null;
    this.#shown?.remove();
    this.#shown = video;
    video.dataset.testid = this.#settings.name;
    video.muted = false;
    video.volume = this.#volume;
    this.#route(video);
    this.#play(video);
    return video;
  }

  /** @param {number} volume 0 to 1 */
  setVolume(volume) {
    this.#volume = volume;
    if (this.#shown) this.#shown.volume = volume;
  }

  /** @param {string} speaker */
  setSpeaker(speaker) {
    this.#speaker = speaker;
    if (this.#shown) this.#route(this.#shown);
  }

  remove() {
    for (const video of [this.#shown, this.#incoming]) {
      if (!video) continue;
      video.srcObject = null;
      video.remove();
    }
  }

  /** @param {HTMLVideoElement} video */
  #route(video) {
    if ('setSinkId' in video) video.setSinkId(this.#speaker).catch(() => {
      // Unplugged since it was chosen: the system's speaker plays on.
    });
  }

  /** @param {HTMLVideoElement} video */
  async #play(video) {
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      // The browser wants a gesture before it makes sound: show the picture without, until there is one.
      video.muted = true;
      video.play().catch(() => {});
      this.#settings.blocked?.();
      const hear = () => {
        video.muted = false;
        video.play().catch(() => {});
        this.#settings.heard?.();
      };
      for (const gesture of ['pointerdown', 'keydown']) document.addEventListener(gesture, hear, { once: true });
    }
  }
}
