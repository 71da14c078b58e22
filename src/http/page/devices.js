// The page's own camera and microphone: opened, muted, exchanged, and their troubles.

/** @import {MediaKind, Sends} from './types.js' */

/**
 * Why a device is not there: refused by the person or the browser, none plugged in, used by another program,
 * not offered to an insecure page, or lost while it was used.
 * @typedef {'refused'|'missing'|'busy'|'insecure'|'lost'|'unknown'} Trouble
 */

/** @type {MediaKind[]} */
const BOTH = ['audio', 'video'];
const STORED = 'attache.devices';

/** @type {Record<MediaKind, MediaTrackConstraints>} */
const CONSTRAINTS = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
};

/** @param {MediaKind} kind @returns {Promise<PermissionState>} `prompt` where the browser does not tell */
async function permission(kind) {
  try {
    const name = /** @type {PermissionName} */ (kind === 'audio' ? 'microphone' : 'camera');
    return (await navigator.permissions.query({ name })).state;
  } catch {
    return 'prompt';
  }
}

/** Whether opening the devices will not ask anything. */
export async function alreadyAllowed() {
  return (await Promise.all(BOTH.map(permission))).every((state) => state === 'granted');
}

/** @param {unknown} error @returns {Trouble} */
function troubleOf(error) {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'refused';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'unknown';
  }
}

export class LocalMedia extends EventTarget {
  /** What is shown of oneself. */
  stream = new MediaStream();
  /** @type {Record<MediaKind, MediaStreamTrack|null>} */
  #tracks = { audio: null, video: null };
  /** @type {Record<MediaKind, Trouble|null>} */
  troubles = { audio: null, video: null };
  /** @type {Record<MediaKind, boolean>} what the person wants, with a device or without */
  wanted = { audio: true, video: true };
  /** @type {{audio: string, video: string, speaker: string}} device ids, empty for the browser's choice */
  chosen = { audio: '', video: '', speaker: '', ...recall() };
  /** @type {Promise<void>|null} */
  #opening = null;

  /** Events: `track` (detail: the kind) when another or no track is to be sent; `change` when anything changed. */

  /** @param {MediaKind} kind */
  track(kind) {
    return this.#tracks[kind];
  }

  /** @returns {Sends} */
  get sends() {
    return { audio: this.isOn('audio'), video: this.isOn('video') };
  }

  /** @param {MediaKind} kind */
  isOn(kind) {
    return this.wanted[kind] && this.#tracks[kind] !== null;
  }

  /** Opens what is wanted and not open yet; ends without an error, with `troubles` set. */
  open() {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  /** Turns the microphone or camera on or off. Sound stays open and is silenced; a camera is closed: its light goes out. @param {MediaKind} kind @param {boolean} on */
  async set(kind, on) {
    this.wanted[kind] = on;
    const track = this.#tracks[kind];
    if (track && kind === 'audio') track.enabled = on;
    if (track && kind === 'video' && !on) this.#put('video', null);
    this.#changed();
    if (on && !track) await this.open();
  }

  /** A device that is still opening counts as on: whoever mutes meanwhile comes in muted. @param {MediaKind} kind */
  toggle(kind) {
    return this.set(kind, !(this.#opening ? this.wanted[kind] : this.isOn(kind)));
  }

  /** Changes the device. @param {MediaKind} kind @param {string} id */
  async choose(kind, id) {
    this.chosen[kind] = id;
    this.#remember();
    if (!this.wanted[kind]) return;
    // Some systems open a camera only once: the old one is closed before the new one opens.
    if (kind === 'video') this.#tracks.video?.stop();
    await this.#request([kind]);
    this.#changed();
  }

  /** @param {string} id */
  chooseSpeaker(id) {
    this.chosen.speaker = id;
    this.#remember();
    this.dispatchEvent(new Event('speaker'));
  }

  /** Goes on without these devices. */
  goWithout() {
    for (const kind of BOTH) if (!this.#tracks[kind]) this.wanted[kind] = false;
    this.#changed();
  }

  close() {
    for (const kind of BOTH) this.#put(kind, null);
    this.#changed();
  }

  async #open() {
    const kinds = BOTH.filter((kind) => this.wanted[kind] && !this.#tracks[kind]);
    if (!kinds.length) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      for (const kind of kinds) this.troubles[kind] = 'insecure';
      return this.#changed();
    }
    const refused = await this.#request(kinds);
    if (refused && kinds.length === 2) await this.#openOneByOne(kinds);
    this.#changed();
  }

  /** Both together failed: perhaps one of them is there. @param {MediaKind[]} kinds */
  async #openOneByOne(kinds) {
    const together = this.troubles.audio;
    for (const kind of kinds) {
      // Whoever said no to both is not asked again for each.
      if (together === 'refused' && (await permission(kind)) !== 'granted') continue;
      await this.#request([kind]);
    }
  }

  /** @param {MediaKind[]} kinds @returns {Promise<boolean>} whether it failed */
  async #request(kinds) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(this.#constraints(kinds));
      for (const track of stream.getTracks()) this.#take(/** @type {MediaKind} */ (track.kind), track);
      return false;
    } catch (error) {
      if (error instanceof DOMException && error.name === 'OverconstrainedError' && this.#forget(kinds)) return this.#request(kinds);
      for (const kind of kinds) {
        this.troubles[kind] = troubleOf(error);
        if (this.#tracks[kind]?.readyState === 'ended') this.#put(kind, null);
      }
      return true;
    }
  }

  /** A device of an earlier visit is not there any more. @param {MediaKind[]} kinds @returns {boolean} whether there was a choice to forget */
  #forget(kinds) {
    const had = kinds.some((kind) => this.chosen[kind]);
    for (const kind of kinds) this.chosen[kind] = '';
    return had;
  }

  /** @param {MediaKind[]} kinds @returns {MediaStreamConstraints} */
  #constraints(kinds) {
    return Object.fromEntries(kinds.map((kind) => {
      const deviceId = this.chosen[kind] ? { exact: this.chosen[kind] } : undefined;
      return [kind, { ...CONSTRAINTS[kind], deviceId }];
    }));
  }

  /** @param {MediaKind} kind @param {MediaStreamTrack} track */
  #take(kind, track) {
    // The person may have changed their mind while the browser asked.
    if (!this.wanted[kind] && kind === 'video') return track.stop();
    track.contentHint = kind === 'audio' ? 'speech' : 'motion';
    track.enabled = this.wanted[kind];
    track.onended = () => {
      if (this.#tracks[kind] !== track) return;
      this.troubles[kind] = 'lost';
      this.#put(kind, null);
      this.#changed();
    };
    this.troubles[kind] = null;
    this.#put(kind, track);
  }

  /** @param {MediaKind} kind @param {MediaStreamTrack|null} track */
  #put(kind, track) {
    const former = this.#tracks[kind];
    if (former === track) return;
    this.#tracks[kind] = track;
    if (track) this.stream.addTrack(track);
    if (former) {
      this.stream.removeTrack(former);
      former.stop();
    }
    this.dispatchEvent(new CustomEvent('track', { detail: kind }));
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  #remember() {
    localStorage.setItem(STORED, JSON.stringify(this.chosen));
  }
}

/** @returns {Partial<{audio: string, video: string, speaker: string}>} */
function recall() {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? '{}');
  } catch {
    return {};
  }
}
