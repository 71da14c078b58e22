// The screen before a call: see yourself, choose devices, name and room, start.

import { deviceChooser } from './chooser.js';
import { alreadyAllowed } from './devices.js';
import { button, copy, dress, get } from './dom.js';
import { LevelMeter } from './level.js';
import { roomLink, roomName, tidyRoom } from './names.js';
import { warmUp } from './peer.js';
import { troubleWords } from './words.js';

/** @import {Consent} from './consent.js' */
/** @import {LocalMedia} from './devices.js' */
/** @import {MediaKind} from './types.js' */

const STORED_NAME = 'attache.name';
const WHY = 'Your browser will ask for your camera and microphone, so that others can see and hear you.';

export function storedName() {
  return localStorage.getItem(STORED_NAME) ?? '';
}

export class Lobby {
  #screen = get('lobby', HTMLElement);
  #name = get('name', HTMLInputElement);
  #room = get('room', HTMLInputElement);
  #start = button('start');
  #problem = get('lobby-problem', HTMLElement);
  #level = new LevelMeter();
  #media;
  #begin;
  /** @type {string|null} the room of the link that was opened */
  #invited = null;
  #asked = false;

  /** @param {LocalMedia} media @param {Consent} consent @param {(room: string, name: string) => void} begin */
  constructor(media, consent, begin) {
    this.#media = media;
    this.#begin = begin;
    deviceChooser(get('lobby-devices', HTMLElement), media);
    consent.bind(get('lobby-not-recorded', HTMLInputElement));
    media.addEventListener('change', () => this.#show());
    this.#wire();
  }

  /** @param {string|null} invited the room of the opened link */
  async open(invited) {
    this.#invited = invited;
    this.#asked = false;
    this.#screen.hidden = false;
    this.#name.value = storedName();
    this.#room.value = invited ?? roomName();
    get('room-field', HTMLElement).hidden = invited !== null;
    get('lobby-title', HTMLElement).textContent = invited ? `Join ${invited}` : 'Ready when you are';
    get('lobby-lead', HTMLElement).textContent = invited
      ? 'Have a look at yourself, then go in.'
      : 'Send the link to anyone you would like to see, then start.';
    this.#showLink();
    this.#show();
    if (await alreadyAllowed()) await this.#open();
    await warmUp();
  }

  close() {
    this.#screen.hidden = true;
    this.#level.stop();
    get('preview-video', HTMLVideoElement).srcObject = null;
  }

  #wire() {
    button('preview-allow').onclick = () => this.#open();
    button('lobby-microphone').onclick = () => this.#toggle('audio');
    button('lobby-camera').onclick = () => this.#toggle('video');
    button('other-room').onclick = () => {
      this.#room.value = roomName();
      this.#showLink();
    };
    button('copy-room').onclick = async () => {
      const done = await copy(roomLink(tidyRoom(this.#room.value)));
      get('room-link', HTMLElement).textContent = done ? 'Link copied' : roomLink(tidyRoom(this.#room.value));
    };
    button('problem-retry').onclick = () => this.#open();
    this.#room.oninput = () => this.#showLink();
    this.#room.onchange = () => {
      this.#room.value = tidyRoom(this.#room.value);
      this.#showLink();
    };
    get('start-form', HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      this.#go();
    };
  }

  async #open() {
    this.#asked = true;
    for (const kind of /** @type {MediaKind[]} */ (['audio', 'video'])) this.#media.wanted[kind] = true;
    await this.#media.open();
    this.#show();
  }

  /** @param {MediaKind} kind */
  async #toggle(kind) {
    this.#asked = true;
    await this.#media.toggle(kind);
  }

  async #go() {
    const room = tidyRoom(this.#room.value);
    if (!room) return this.#room.focus();
    if (!this.#asked) {
      // Where nothing will be asked, the room is entered while the devices start.
      const opening = this.#open();
      if (!(await alreadyAllowed())) await opening;
      if (this.#trouble()) return;
    }
    if (this.#trouble()) this.#media.goWithout();
    const name = this.#name.value.trim();
    localStorage.setItem(STORED_NAME, name);
    this.#begin(room, name);
  }

  #trouble() {
    const { wanted, troubles } = this.#media;
    return troubleWords({ audio: wanted.audio ? troubles.audio : null, video: wanted.video ? troubles.video : null });
  }

  #showLink() {
    get('room-link', HTMLElement).textContent = roomLink(tidyRoom(this.#room.value)).replace(/^https?:\/\//, '');
  }

  #show() {
    if (this.#screen.hidden) return;
    const { audio, video } = this.#media.sends;
    const picture = get('preview-video', HTMLVideoElement);
    if (!picture.srcObject) picture.srcObject = this.#media.stream;
    picture.hidden = !video;
    this.#showPlace(video);
    const microphone = button('lobby-microphone');
    const camera = button('lobby-camera');
    microphone.setAttribute('aria-pressed', String(audio));
    camera.setAttribute('aria-pressed', String(video));
    dress(microphone, audio ? 'microphone' : 'microphone-off', audio ? 'Mute the microphone' : 'Use the microphone');
    dress(camera, video ? 'camera' : 'camera-off', video ? 'Turn the camera off' : 'Use the camera');
    const meter = get('level', HTMLElement);
    this.#level.follow(audio ? this.#media.track('audio') : null, (level) => {
      meter.style.setProperty('--level', level.toFixed(3));
      meter.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    });
    this.#showProblem();
  }

  /** What stands where the picture would be. @param {boolean} video */
  #showPlace(video) {
    get('preview-empty', HTMLElement).hidden = video;
    const { wanted, troubles } = this.#media;
    const untouched = !this.#asked && !this.#media.track('audio');
    button('preview-allow').hidden = !untouched || this.#invited !== null;
    const words = untouched ? WHY : wanted.video && !troubles.video ? 'The camera starts…' : 'No camera: others see your name.';
    get('preview-words', HTMLElement).textContent = words;
  }

  #showProblem() {
    const trouble = this.#trouble();
    const verb = this.#invited ? 'Join' : 'Start';
    this.#problem.hidden = trouble === null;
    this.#start.textContent = verb;
    if (!trouble) return;
    const { audio, video } = this.#media.troubles;
    const lacking = audio && video ? 'camera and microphone' : video ? 'camera' : 'microphone';
    this.#start.textContent = `${verb} without ${lacking}`;
    get('problem-title', HTMLElement).textContent = trouble.title;
    get('problem-words', HTMLElement).textContent = trouble.words;
  }
}
