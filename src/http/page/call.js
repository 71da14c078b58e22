// One call in one room: who is there, a link to each of them, and what this page sends.

import { Enhanced } from './enhanced.js';
import { Link } from './link.js';
import { Signalling } from './signalling.js';
import { Speakers } from './speakers.js';
import { QualityMeter } from './stats.js';
import { Tile, nameOf } from './tile.js';

/** @import {Ice, MediaKind, Participant, ServerMessage} from './types.js' */
/** @import {Consent} from './consent.js' */
/** @import {LocalMedia} from './devices.js' */
/** @import {FilterReport, Peer} from './peer.js' */

/** After the server came back, those who did not are kept on the stage this long. */
const GHOST_LIMIT_MS = 10000;
/** After the server was started anew, those who have not come back are taken for gone after this long. */
const RETURN_LIMIT_MS = 30000;
const ICE_LIMIT_MS = 2000;
const STATS_EVERY_MS = 1000;
const LOUDNESS_EVERY_MS = 150;

/**
 * @typedef {object} CallSettings
 * @property {string} room
 * @property {string} name
 * @property {string|null} token
 * @property {boolean} receiveOnly known from the token
 * @property {string|null} codec
 * @property {LocalMedia} media
 * @property {Consent} consent
 *
 * @typedef {object} CallEvents
 * @property {() => void} entered
 * @property {(tile: Tile) => void} tile somebody's tile is there
 * @property {(participants: Participant[]) => void} participants who is there has changed
 * @property {(words: string) => void} say something that everybody should notice
 * @property {(from: string, text: string) => void} message
 * @property {(retryInMs: number) => void} lost
 * @property {() => void} back nothing was lost
 * @property {(code: string, message: string) => void} refused
 * @property {() => void} receiveOnly the token does not allow to send
 * @property {(state: Cleaning, code: string|null) => void} cleaning whether a filter works for this page, and why not
 * @property {(report: FilterReport) => void} cleaned what that filter has done in the last two seconds
 *
 * Whether the server takes the noise out of this page's sound: it cannot be had here, nobody asked, it is on its way, it works.
 * @typedef {'none'|'off'|'coming'|'on'} Cleaning
 */

export class Call {
  #settings;
  #events;
  #signalling;
  /** @type {Map<string, Link>} */
  #links = new Map();
  /** @type {Link[]} those from before the server was lost */
  #ghosts = [];
  /** @type {WeakMap<Peer, QualityMeter>} */
  #meters = new WeakMap();
  #speakers = new Speakers();
  /** @type {Ice} */
  #ice = { servers: [], transport_policy: 'all' };
  /** @type {((ice: Ice) => void)[]} */
  #iceWaiters = [];
  #receiveOnly;
  /** This page's own id. */
  #me = '';
  /** The server runs filters for those who ask. */
  #filters = false;
  #wantsFilter = false;
  /** @type {number[]} */
  #timers;
  #ghostTimer = 0;
  /** @type {Set<string>} those who have not come back yet since the server was started anew */
  #missing = new Set();
  #missingTimer = 0;

  /** @param {CallSettings} settings @param {CallEvents} events */
  constructor(settings, events) {
    this.#settings = settings;
    this.#events = events;
    this.#receiveOnly = settings.receiveOnly;
    this.#signalling = this.#connect();
    settings.media.addEventListener('track', this.#sendTrack);
    settings.media.addEventListener('change', this.#tellSends);
    settings.media.addEventListener('speaker', this.#setSpeaker);
    settings.consent.addEventListener('change', this.#tellConsent);
    this.#timers = [
      setInterval(() => this.#measure(), STATS_EVERY_MS),
      setInterval(() => this.#listen(), LOUDNESS_EVERY_MS),
    ];
  }

  get participants() {
    return [...this.#links.values()].map(({ participant }) => participant);
  }

  /** @param {string} text @returns {number} how many got it */
  sendText(text) {
    const links = [...this.#links.values()].filter(({ participant }) => participant.kind !== 'relay');
    return links.filter((link) => link.sendText(text)).length;
  }

  /** Has the server take the noise out of this page's sound, or not any more. @param {boolean} on */
  clean(on) {
    this.#wantsFilter = on;
    this.#signalling.send({ type: 'filter', on });
    this.#tellCleaning(null);
  }

  retryNow() {
    this.#signalling.retryNow();
  }

  hangUp() {
    this.#signalling.leave();
    this.#timers.forEach(clearInterval);
    clearTimeout(this.#ghostTimer);
    clearTimeout(this.#missingTimer);
    const { media, consent } = this.#settings;
    consent.removeEventListener('change', this.#tellConsent);
    media.removeEventListener('track', this.#sendTrack);
    media.removeEventListener('change', this.#tellSends);
    media.removeEventListener('speaker', this.#setSpeaker);
    for (const link of this.#links.values()) link.close();
    this.#dropGhosts(() => true);
  }

  #connect() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const { room, name, token, consent } = this.#settings;
    const join = () => ({
      room,
      kind: /** @type {const} */ ('person'),
      name: name || undefined,
      token: token ?? undefined,
      sends: this.#sends(),
      recordable: consent.recordable ? undefined : false,
    });
    const signalling = new Signalling(`${scheme}://${location.host}/api/v1/signalling`, join, {
      message: (message) => this.#receive(message),
      lost: (retryInMs) => this.#events.lost(retryInMs),
      back: () => this.#events.back(),
      refused: (code, message) => this.#refused(code, message),
    });
    signalling.connect();
    return signalling;
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    switch (message.type) {
      case 'welcome': {
        const same = message.you.id === this.#me;
        this.#me = message.you.id;
        this.#filters = message.filters ?? false;
        if (same) return this.#restored(message.participants, message.ice);
        return this.#welcome(message.participants, message.ice);
      }
      case 'joined':
        return this.#joined(message.participant, message.earlier ?? false);
      case 'updated':
        return this.#updated(message.participant);
      case 'left':
        return this.#left(message.id);
      case 'offer':
        return void this.#links.get(message.from)?.onOffer(message.generation, message.sdp);
      case 'answer':
        return void this.#links.get(message.from)?.onAnswer(message.generation, message.sdp);
      case 'candidate':
        return this.#links.get(message.from)?.onCandidate(message.generation, message.candidate, message.mline);
      case 'renew':
        return this.#links.get(message.from)?.onRenew(message.generation);
      case 'ice_servers':
        return this.#newIce(message.ice);
      case 'error':
        return this.#mistake(message.code, message.message);
    }
  }

  /** @param {Participant[]} participants @param {Ice} ice */
  #welcome(participants, ice) {
    this.#ice = ice;
    for (const link of this.#links.values()) {
      // Filters and relays come back with those whose media they give back.
      if (isHelper(link.participant)) link.close();
      else this.#ghosts.push(link);
    }
    this.#links.clear();
    this.#speakers = new Speakers();
    for (const participant of participants) this.#meet(participant, true);
    clearTimeout(this.#ghostTimer);
    this.#ghostTimer = setTimeout(() => this.#dropGhosts(() => true), GHOST_LIMIT_MS);
    this.#events.entered();
    this.#events.participants(this.participants);
    this.#tellSends();
    if (this.#wantsFilter) this.#signalling.send({ type: 'filter', on: true });
    this.#tellCleaning(null);
  }

  /** The server was started anew and has this page back; the others come back, too. @param {Participant[]} participants @param {Ice} ice */
  #restored(participants, ice) {
    this.#ice = ice;
    this.#missing = new Set(this.#links.keys());
    clearTimeout(this.#missingTimer);
    this.#missingTimer = setTimeout(() => this.#missing.forEach((id) => this.#left(id)), RETURN_LIMIT_MS);
    for (const participant of participants) this.#joined(participant, true);
    if (this.#wantsFilter) this.#signalling.send({ type: 'filter', on: true });
    this.#events.back();
  }

  /** @param {Participant} participant @param {boolean} earlier it was in the room before this page */
  #joined(participant, earlier) {
    const link = this.#links.get(participant.id);
    if (link) {
      this.#missing.delete(participant.id);
      // What was under way may have been lost with the server.
      if (!link.peer?.connected) link.renew();
      return this.#updated(participant);
    }
    this.#meet(participant, earlier);
    if (isHelper(participant)) this.#tellCleaning(null);
    else this.#events.say(`${nameOf(participant)} joined`);
    this.#events.participants(this.participants);
  }

  /** @param {Participant} participant @param {boolean} offerer this page came later */
  #meet(participant, offerer) {
    // A player watches one of those who were here before it; nobody else offers to it.
    if (participant.kind === 'viewer' && offerer) return;
    // It waits for people to give a filter each.
    if (participant.kind === 'filter' && !participant.enhances) return;
    const ghost = this.#ghosts.find((link) => isSame(link.participant, participant));
    this.#ghosts = this.#ghosts.filter((link) => link !== ghost);
    const former = ghost?.handOver() ?? null;
    const tile = former?.tile ?? this.#makeTile(participant);
    if (tile instanceof Tile) tile.update(participant);
    const { media, codec } = this.#settings;
    const link = new Link(participant, tile, {
      offerer,
      codec,
      send: (message) => void this.#signalling.send(message),
      ice: () => this.#freshIce(link),
      track: (kind) => media.track(kind),
      receiveOnly: () => this.#receiveOnly,
      message: (text) => this.#events.message(nameOf(link.participant), text),
      report: (report) => {
        if (link.participant.enhances === this.#me) this.#events.cleaned(report);
      },
    }, former?.peer);
    this.#links.set(participant.id, link);
    if (this.#avoids(participant)) link.rest();
    else if (offerer) link.offer();
  }

  /** @param {Participant} participant */
  #makeTile(participant) {
    const { kind, enhances } = participant;
    if (kind === 'recorder' || kind === 'viewer') return null;
    if (enhances) return this.#makeEnhanced(participant, enhances);
    const tile = new Tile(participant, this.#settings.media.chosen.speaker);
    this.#events.tile(tile);
    return tile;
  }

  /** What a filter or a relay sends is played in its source's tile; to its own source it sends nothing. @param {Participant} helper @param {string} source */
  #makeEnhanced({ id, kind }, source) {
    const tile = this.#links.get(source)?.tile;
    if (!(tile instanceof Tile)) return null;
    const { speaker } = this.#settings.media.chosen;
    return new Enhanced(tile, speaker, {
      played: (track) => this.#links.get(id)?.peer?.played(track) ?? null,
      waited: async () => await this.#links.get(source)?.peer?.waited() ?? null,
      hold: (milliseconds) => this.#links.get(source)?.hold(milliseconds),
      relays: kind === 'relay' ? () => this.#relays(id, source) : null,
      want: (wanted) => this.#links.get(source)?.want(wanted),
    });
  }

  /** @param {string} relay @param {string} source */
  #relays(relay, source) {
    const none = { audio: false, video: false };
    const [own, of] = [relay, source].map((id) => this.#links.get(id)?.participant.sends ?? none);
    return { sends: of, stays: own.audio || own.video };
  }

  /** @param {string|null} code why there is no filter, if somebody wants one */
  #tellCleaning(code) {
    const works = this.participants.some(({ kind, enhances }) => kind === 'filter' && enhances === this.#me);
    const wanted = works ? 'on' : 'coming';
    this.#events.cleaning(this.#wantsFilter ? wanted : this.#filters ? 'off' : 'none', code);
  }

  /** @param {Participant} participant */
  #updated(participant) {
    const link = this.#links.get(participant.id);
    if (!link) return;
    link.participant = participant;
    if (link.tile instanceof Tile) link.tile.update(participant);
    this.#events.participants(this.participants);
  }

  /** @param {string} id */
  #left(id) {
    const link = this.#links.get(id);
    if (!link) return;
    this.#links.delete(id);
    this.#missing.delete(id);
    link.close();
    this.#speakers.silent(id, true);
    if (isHelper(link.participant)) this.#tellCleaning(null);
    else this.#events.say(`${nameOf(link.participant)} left`);
    this.#events.participants(this.participants);
  }

  /** @param {(link: Link) => boolean} which */
  #dropGhosts(which) {
    for (const link of this.#ghosts.filter(which)) link.close();
    this.#ghosts = this.#ghosts.filter((link) => !which(link));
  }

  /** A first connection uses what the welcome brought; TURN credentials for a later one may have run out. @param {Link} link */
  #freshIce(link) {
    const renewable = link.peer && this.#ice.servers.some(({ credential }) => credential);
    if (!renewable || !this.#signalling.send({ type: 'ice_servers' })) return Promise.resolve(this.#ice);
    return new Promise((/** @type {(ice: Ice) => void} */ resolve) => {
      this.#iceWaiters.push(resolve);
      setTimeout(() => resolve(this.#ice), ICE_LIMIT_MS);
    });
  }

  /** @param {Ice} ice */
  #newIce(ice) {
    this.#ice = ice;
    for (const resolve of this.#iceWaiters.splice(0)) resolve(ice);
  }

  /** @param {string} code @param {string} message */
  #mistake(code, message) {
    if (code === 'forbidden' && !this.#receiveOnly) {
      this.#onlyReceive();
      for (const link of this.#links.values()) link.renew();
      return;
    }
    if (code === 'no_filter' || code === 'filters_forbidden') {
      this.#wantsFilter = false;
      return this.#tellCleaning(code);
    }
    // Somebody left while a message to them was under way: nothing to say.
    if (code !== 'unknown_participant') console.warn(`the server refused a message: ${code}: ${message}`);
  }

  /** @param {string} code @param {string} message */
  #refused(code, message) {
    if (code !== 'forbidden' || this.#receiveOnly) return this.#events.refused(code, message);
    // Perhaps only sending is forbidden: once more, without.
    this.#onlyReceive();
    this.#signalling = this.#connect();
  }

  #onlyReceive() {
    this.#receiveOnly = true;
    this.#events.receiveOnly();
  }

  #sends() {
    return this.#receiveOnly ? { audio: false, video: false } : this.#settings.media.sends;
  }

  #tellSends = () => void this.#signalling?.send({ type: 'update', sends: this.#sends() });

  /** Who does not want to be recorded sends a recorder nothing. @param {Participant} participant */
  #avoids(participant) {
    return participant.kind === 'recorder' && !this.#settings.consent.recordable;
  }

  #tellConsent = () => {
    const { recordable } = this.#settings.consent;
    const recorders = [...this.#links.values(), ...this.#ghosts].filter(({ participant }) => participant.kind === 'recorder');
    // Nothing goes there any more before the room hears of it; and it hears of it before anything goes there again.
    if (!recordable) for (const link of recorders) link.rest();
    this.#signalling.send({ type: 'update', recordable });
    if (recordable) for (const link of recorders) link.resume();
  };

  /** @param {Event} event */
  #sendTrack = (event) => {
    const kind = /** @type {CustomEvent<MediaKind>} */ (event).detail;
    for (const link of [...this.#links.values(), ...this.#ghosts]) link.replaceTrack(kind);
  };

  #setSpeaker = () => {
    for (const { tile } of this.#links.values()) tile?.setSpeaker(this.#settings.media.chosen.speaker);
  };

  async #measure() {
    for (const { participant, peer: own, tile } of this.#links.values()) {
      if (!own || !(tile instanceof Tile)) continue;
      // What a relay brings is what is seen.
      const relay = this.#helperOf(participant.id);
      const peer = relay?.participant.kind === 'relay' && tile.element.dataset.picture === 'enhanced' ? relay.peer ?? own : own;
      const meter = this.#meters.get(peer) ?? new QualityMeter();
      this.#meters.set(peer, meter);
      const report = await peer.stats().catch(() => null);
      if (report) tile.setQuality(meter.read(report));
    }
  }

  #listen() {
    const now = performance.now();
    const heard = [...this.#links.values()].flatMap(({ participant, peer, tile }) => (tile instanceof Tile ? [{ participant, peer, tile }] : []));
    for (const { participant: { id, sends }, peer, tile } of heard) {
      // Where a filter is heard, its sound tells: noise is no voice.
      const played = tile.element.dataset.sound === 'enhanced' ? this.#helperOf(id)?.peer : peer;
      if (sends.audio) this.#speakers.heard(id, played?.loudness() ?? 0, now);
      else this.#speakers.silent(id, false);
    }
    const active = this.#speakers.active ?? heard[0]?.participant.id;
    for (const { participant: { id }, tile } of heard) tile.setSpeaking(this.#speakers.isSpeaking(id, now), id === active);
  }

  /** @param {string} source */
  #helperOf(source) {
    return [...this.#links.values()].find(({ participant, tile }) => participant.enhances === source && tile instanceof Enhanced) ?? null;
  }
}

/** Whether it is there for another one's media alone. @param {Participant} participant */
function isHelper({ kind, enhances }) {
  return kind === 'filter' || (enhances ?? null) !== null;
}

/** Whether somebody who came back is somebody who was here; ids are new after the server was lost. @param {Participant} a @param {Participant} b */
function isSame(a, b) {
  return a.kind === b.kind && a.name === b.name && a.identity === b.identity;
}
