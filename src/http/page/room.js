// The screen of a call: stage, notices and controls.

import { Call } from './call.js';
import { Chat } from './chat.js';
import { deviceChooser } from './chooser.js';
import { button, copy, dress, get, icon } from './dom.js';
import { keepFitted } from './stage.js';
import { roomLink } from './names.js';
import { nameOf, paintAvatar } from './tile.js';
import { cleanedWords, cleaningWords, troubleWords } from './words.js';

/** @import {Participant} from './types.js' */
/** @import {CallSettings, Cleaning} from './call.js' */
/** @import {Consent} from './consent.js' */
/** @import {LocalMedia} from './devices.js' */

const TOAST_MS = 5000;
const BANNER_AFTER_MS = 1500;
const SHORTCUTS_OFF = 'attache.shortcuts-off';
const SPEAKER_LARGE = 'attache.speaker-large';
const CLEAN_HINT = 'The server takes the noise out of what others hear of you';

/**
 * @typedef {object} RoomEvents
 * @property {() => void} left the person hung up
 * @property {(code: string) => void} refused the server ended it
 */

export class RoomScreen {
  #screen = get('call', HTMLElement);
  #stage = get('stage', HTMLElement);
  #banner = get('banner', HTMLElement);
  #recording = get('recording', HTMLElement);
  #toasts = get('toasts', HTMLElement);
  #settings = get('settings', HTMLDialogElement);
  #shortcuts = get('shortcuts', HTMLInputElement);
  #clean = get('call-clean', HTMLInputElement);
  #large = get('speaker-large', HTMLInputElement);
  #media;
  #consent;
  #events;
  #chat;
  /** @type {Call|null} */
  #call = null;
  #room = '';
  /** @type {WakeLockSentinel|null} */
  #wake = null;
  #troubles = '';
  #bannerTimer = 0;

  /** @param {LocalMedia} media @param {Consent} consent @param {RoomEvents} events */
  constructor(media, consent, events) {
    this.#media = media;
    this.#consent = consent;
    this.#events = events;
    this.#chat = new Chat((text) => this.#call?.sendText(text) ?? 0);
    keepFitted(this.#stage);
    deviceChooser(get('call-devices', HTMLElement), media);
    this.#wire();
    media.addEventListener('change', () => this.#showOwn());
    consent.bind(get('call-not-recorded', HTMLInputElement));
    consent.addEventListener('change', () => this.#consentChanged());
  }

  /** @param {Omit<CallSettings, 'media'|'consent'>} settings */
  enter(settings) {
    this.#room = settings.room;
    this.#troubles = '';
    this.#call = new Call({ ...settings, media: this.#media, consent: this.#consent }, {
      entered: () => this.#entered(),
      back: () => this.#back(),
      tile: (tile) => this.#stage.append(tile.element),
      participants: (participants) => this.#showParticipants(participants),
      say: (words) => this.#say(words),
      message: (from, text) => this.#message(from, text),
      lost: (retryInMs) => this.#lost(retryInMs),
      refused: (code) => this.#refused(code),
      receiveOnly: () => this.#receiveOnly(),
      cleaning: (state, code) => this.#cleaning(state, code),
      cleaned: (report) => { get('clean-hint', HTMLElement).textContent = cleanedWords(report); },
    });
    this.#screen.hidden = false;
    get('call-room', HTMLElement).textContent = settings.room;
    get('alone-link', HTMLElement).textContent = roomLink(settings.room).replace(/^https?:\/\//, '');
    get('self-name', HTMLElement).textContent = settings.name || 'You';
    paintAvatar(get('self-avatar', HTMLElement), settings.name || 'You');
    get('self-video', HTMLVideoElement).srcObject = this.#media.stream;
    this.#showParticipants([]);
    this.#screen.dataset.state = 'entering';
    this.#showOwn();
    if (settings.receiveOnly) this.#receiveOnly();
    this.#stayAwake();
  }

  /** Ends the call without a word to anybody here. */
  leave() {
    this.#call?.hangUp();
    this.#call = null;
    clearTimeout(this.#bannerTimer);
    this.#bannerTimer = 0;
    this.#banner.hidden = true;
    this.#screen.hidden = true;
    this.#wake?.release();
    this.#wake = null;
    this.#settings.close();
    this.#chat.clear();
    this.#toasts.replaceChildren();
    get('self-video', HTMLVideoElement).srcObject = null;
    if (document.fullscreenElement) document.exitFullscreen();
  }

  #wire() {
    button('microphone').onclick = () => this.#toggle('audio');
    button('camera').onclick = () => this.#toggle('video');
    button('quality-toggle').onclick = () => this.#toggleQuality();
    button('fullscreen').onclick = () => this.#toggleFullscreen();
    button('hangup').onclick = () => this.#hangUp();
    button('banner-retry').onclick = () => this.#call?.retryNow();
    button('copy-link').onclick = () => this.#copyLink();
    button('alone-copy').onclick = () => this.#copyLink();
    button('not-recorded').onclick = () => this.#toggleConsent();
    this.#clean.onchange = () => this.#call?.clean(this.#clean.checked);
    button('settings-open').onclick = () => this.#settings.showModal();
    button('settings-close').onclick = () => this.#settings.close();
    button('fullscreen').hidden = !document.fullscreenEnabled;
    document.addEventListener('fullscreenchange', () => {
      button('fullscreen').setAttribute('aria-pressed', String(document.fullscreenElement !== null));
    });
    this.#large.checked = localStorage.getItem(SPEAKER_LARGE) !== null;
    this.#large.onchange = () => this.#showSpeaker();
    this.#showSpeaker();
    this.#shortcuts.checked = localStorage.getItem(SHORTCUTS_OFF) === null;
    this.#shortcuts.onchange = () => {
      if (this.#shortcuts.checked) localStorage.removeItem(SHORTCUTS_OFF);
      else localStorage.setItem(SHORTCUTS_OFF, '');
    };
    document.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('visibilitychange', () => this.#stayAwake());
    addEventListener('pagehide', () => this.#call?.hangUp());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#call || this.#settings.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && this.#chat.isOpen) return this.#chat.close();
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (typing || event.repeat || !this.#shortcuts.checked) return;
    const act = {
      m: () => this.#toggle('audio'),
      v: () => this.#toggle('video'),
      c: () => this.#chat.toggle(),
      q: () => this.#toggleQuality(),
      f: () => this.#toggleFullscreen(),
      s: () => this.#settings.showModal(),
      l: () => this.#copyLink(),
      r: () => this.#toggleConsent(),
      n: () => this.#toggleClean(),
      p: () => this.#large.click(),
    }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {'audio'|'video'} kind */
  #toggle(kind) {
    if (button(kind === 'audio' ? 'microphone' : 'camera').disabled) return;
    // Pressed for the first time in vain: ask for the device again, and say again what is wrong with it.
    this.#troubles = '';
    this.#media.toggle(kind);
  }

  #showOwn() {
    const { audio, video } = this.#media.sends;
    const microphone = button('microphone');
    const camera = button('camera');
    microphone.setAttribute('aria-pressed', String(audio));
    camera.setAttribute('aria-pressed', String(video));
    dress(microphone, audio ? 'microphone' : 'microphone-off', audio ? 'Mute (M)' : 'Unmute (M)');
    dress(camera, video ? 'camera' : 'camera-off', video ? 'Turn camera off (V)' : 'Turn camera on (V)');
    const self = get('self', HTMLElement);
    self.dataset.audio = audio ? 'on' : 'off';
    self.dataset.video = video ? 'on' : 'off';
    if (this.#call) this.#sayTroubles();
  }

  #sayTroubles() {
    const { wanted, troubles } = this.#media;
    const words = troubleWords({ audio: wanted.audio ? troubles.audio : null, video: wanted.video ? troubles.video : null });
    const said = words ? `${words.title}. ${words.words}` : '';
    if (said && said !== this.#troubles) this.#say(said);
    this.#troubles = said;
  }

  #entered() {
    this.#screen.dataset.state = 'in';
    this.#back();
    this.#sayTroubles();
  }

  #back() {
    clearTimeout(this.#bannerTimer);
    this.#bannerTimer = 0;
    if (!this.#banner.hidden) this.#say('The server is back');
    this.#banner.hidden = true;
  }

  /** @param {Participant[]} participants the others */
  #showParticipants(participants) {
    const seen = participants.filter(({ kind, enhances }) => ['person', 'kiosk', 'relay'].includes(kind) && !enhances).length;
    const players = participants.filter(({ kind }) => kind === 'viewer').length;
    get('alone', HTMLElement).hidden = seen > 0;
    get('count', HTMLElement).textContent = (seen ? `${seen + 1} in this call` : 'Only you') + (players ? `, ${players} watching` : '');
    const recorders = participants.filter(({ recording }) => recording).map(nameOf);
    const who = new Intl.ListFormat('en').format(recorders);
    const { recordable } = this.#consent;
    const without = recordable ? '' : ', without you';
    const notice = recorders.length ? `${who} ${recorders.length > 1 ? 'are' : 'is'} recording this call${without}` : '';
    const choice = button('not-recorded');
    choice.hidden = recordable && !recorders.length;
    choice.setAttribute('aria-pressed', String(!recordable));
    if (this.#recording.textContent === notice) return;
    this.#recording.replaceChildren(...(notice ? [icon('record'), notice] : []));
  }

  #toggleClean() {
    if (!this.#clean.disabled) this.#clean.click();
  }

  /** @param {Cleaning} state @param {string|null} code why it ended */
  #cleaning(state, code) {
    const before = get('self', HTMLElement).dataset.clean;
    get('clean-row', HTMLElement).hidden = state === 'none';
    this.#clean.disabled = state === 'none' || button('microphone').disabled;
    this.#clean.checked = state === 'coming' || state === 'on';
    get('self', HTMLElement).dataset.clean = state;
    if (state !== 'on') get('clean-hint', HTMLElement).textContent = CLEAN_HINT;
    if (code) this.#say(cleaningWords(code));
    else if (state === 'on' && before !== 'on') this.#say('Your sound is cleaned up for the others');
  }

  /** Who speaks is large, or everybody has the same size. */
  #showSpeaker() {
    if (this.#large.checked) localStorage.setItem(SPEAKER_LARGE, '');
    else localStorage.removeItem(SPEAKER_LARGE);
    this.#stage.dataset.view = this.#large.checked ? 'speaker' : 'grid';
  }

  #toggleConsent() {
    this.#consent.recordable = !this.#consent.recordable;
  }

  #consentChanged() {
    if (!this.#call) return;
    this.#showParticipants(this.#call.participants);
    this.#say(this.#consent.recordable ? 'You may be recorded' : 'Recorders leave you out from now on');
  }

  /** @param {number} retryInMs */
  #lost(retryInMs) {
    const words = get('banner-words', HTMLElement);
    const entering = this.#screen.dataset.state === 'entering';
    const what = entering ? 'The server does not answer.' : 'The connection to the server is lost. Your call goes on with those who are here.';
    words.textContent = `${what} Trying again…`;
    // Who was in a call does not notice a moment without the server.
    this.#bannerTimer ||= setTimeout(() => { this.#banner.hidden = false; }, entering ? 0 : BANNER_AFTER_MS);
    // Where the next try comes at once, a button for it would only flicker.
    button('banner-retry').hidden = retryInMs < 1000;
  }

  /** @param {string} code */
  #refused(code) {
    this.leave();
    this.#events.refused(code);
  }

  #hangUp() {
    this.leave();
    this.#events.left();
  }

  #receiveOnly() {
    for (const name of ['microphone', 'camera']) button(name).disabled = true;
    this.#media.close();
    this.#say('Your invitation is for watching and listening: the others do not see or hear you.');
  }

  /** @param {string} from @param {string} text */
  #message(from, text) {
    if (!this.#chat.isOpen) this.#say(`${from}: ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`);
    this.#chat.receive(from, text);
  }

  /** A phone does not go to sleep in a call; the browser forgets this whenever the page is hidden. */
  async #stayAwake() {
    if (!this.#call || document.visibilityState !== 'visible') return;
    this.#wake = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null;
  }

  async #copyLink() {
    const link = roomLink(this.#room);
    this.#say((await copy(link)) ? 'Link copied' : `Copy this link: ${link}`);
  }

  #toggleQuality() {
    const shown = this.#stage.classList.toggle('with-quality');
    button('quality-toggle').setAttribute('aria-pressed', String(shown));
  }

  #toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.#screen.requestFullscreen();
  }

  /** @param {string} words */
  #say(words) {
    const toast = document.createElement('p');
    toast.textContent = words;
    this.#toasts.append(toast);
    while (this.#toasts.children.length > 4) this.#toasts.firstElementChild?.remove();
    setTimeout(() => toast.remove(), TOAST_MS + words.length * 40);
  }
}
