// One participant's tile: picture, name, what it does, and how good the connection is.

import { Player, streamOf } from './player.js';
import { describe } from './stats.js';

/** @import {Kind, MediaKind, Participant} from './types.js' */
/** @import {Quality} from './stats.js' */

/** @type {Record<Kind, string>} */
const KINDS = { person: 'Person', kiosk: 'Kiosk', recorder: 'Recorder', filter: 'Filter', viewer: 'Player', relay: 'Publisher' };

/** @param {Participant} participant */
export function nameOf({ name, identity, kind, id }) {
  return name || identity || (kind === 'person' ? `Guest ${id.slice(0, 4)}` : KINDS[kind]);
}

/** Sets initials and a colour of its own. @param {HTMLElement} avatar @param {string} name */
export function paintAvatar(avatar, name) {
  const words = name.trim().split(/[\s._-]+/).filter(Boolean);
  const initials = words.slice(0, 2).map((word) => [...word][0]).join('').toUpperCase();
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  avatar.textContent = initials || '?';
  avatar.style.setProperty('--hue', String(hue));
}

export class Tile {
  element;
  #state;
  #quality;
  #player;
  #paused = false;

  /** @param {Participant} participant @param {string} speaker the output device, empty for the default */
  constructor(participant, speaker) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById('tile-template'));
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.element = /** @type {HTMLElement} */ (copy.querySelector('.tile'));
    this.#state = this.#part('.tile-state');
    this.#quality = this.#part('.quality');
    this.#player = new Player({
      place: this.#part('.tile-media'),
      name: 'tile-video',
      speaker,
      volume: 1,
      blocked: () => { this.#state.textContent = 'Click or press a key to hear'; },
      heard: () => this.steady(),
    });
    this.#state.textContent = 'Connecting…';
    this.update(participant);
  }

  /** @param {Participant} participant */
  update(participant) {
    const name = nameOf(participant);
    const { element } = this;
    element.setAttribute('aria-label', name);
    element.dataset.participant = participant.id;
    element.dataset.kind = participant.kind;
    element.dataset.audio = participant.sends.audio ? 'on' : 'off';
    element.dataset.video = participant.sends.video ? 'on' : 'off';
    element.dataset.away = String(participant.away ?? false);
    this.#part('.tile-name').textContent = name;
    this.#part('.badge').textContent = KINDS[participant.kind];
    this.#part('.tile-muted').hidden = participant.sends.audio;
    this.#part('.tile-not-recorded').hidden = participant.recordable !== false;
    paintAvatar(this.#part('.avatar'), name);
  }

  /**
   * Plays a stream unseen and unheard, until `show`.
   * @param {MediaStream} stream @param {() => void} firstPicture
   */
  prepare(stream, firstPicture) {
    this.#player.prepare(stream, firstPicture);
  }

  /** Lets the prepared stream take over. @param {MediaStream} stream */
  show(stream) {
    const video = this.#player.show(stream);
    if (!video) return;
    const live = () => this.element.classList.add('live');
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(live);
    else live();
    this.steady();
  }

  /** Where what a filter gives back is laid over the picture. */
  get place() {
    return this.#part('.tile-media');
  }

  /** What comes from this participant itself; null: nothing yet. */
  get stream() {
    return streamOf(this.#player.video);
  }

  /** How loud this participant's own sound is, 0 to 1: less while a filter's is heard instead. @param {number} volume */
  setVolume(volume) {
    this.#player.setVolume(volume);
  }

  /** Says whether sound or picture come from a filter. @param {MediaKind} kind @param {boolean} enhanced @returns {boolean} whether that is new */
  setSource(kind, enhanced) {
    const name = kind === 'audio' ? 'sound' : 'picture';
    const source = enhanced ? 'enhanced' : 'original';
    const isNew = (this.element.dataset[name] ?? 'original') !== source;
    this.element.dataset[name] = source;
    return isNew;
  }

  /** The path is interrupted. */
  waver() {
    this.#state.textContent = this.#player.video ? 'Reconnecting…' : 'Cannot connect, trying again…';
  }

  steady() {
    this.#state.textContent = this.#paused ? 'Video paused, weak connection' : '';
  }

  /** @param {boolean} paused no picture comes, for the connection carries sound only */
  setPaused(paused) {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.element.classList.toggle('paused', paused);
    this.steady();
  }

  /** @param {boolean} speaks now @param {boolean} active who spoke last: large, where somebody is */
  setSpeaking(speaks, active) {
    this.element.classList.toggle('speaking', speaks);
    this.element.classList.toggle('active', active);
  }

  /** @param {Quality} quality */
  setQuality(quality) {
    this.element.dataset.grade = quality.grade;
    for (const [name, value] of Object.entries(quality)) this.#quality.dataset[name] = String(value ?? '');
    this.#quality.replaceChildren(...describe(quality).map(([term, value]) => {
      const row = document.createElement('div');
      const dt = document.createElement('dt');
      const dd = document.createElement('dd');
      dt.textContent = term;
      dd.textContent = value;
      row.append(dt, dd);
      return row;
    }));
  }

  /** @param {string} speaker */
  setSpeaker(speaker) {
    this.#player.setSpeaker(speaker);
  }

  remove() {
    this.#player.remove();
    this.element.remove();
  }

  /** @param {string} selector @returns {HTMLElement} */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }
}
