// All generations of PeerConnections with one participant: builds the next beside the living one and moves the
// tile over when the new one plays (make before break).

import { watchNetwork } from './network.js';
import { Peer } from './peer.js';
import { Renewal } from './renewal.js';

/** @import {ClientMessage, Ice, MediaKind, Participant} from './types.js' */
/** @import {Enhanced} from './enhanced.js' */
/** @import {FilterReport} from './peer.js' */
/** @import {Tile} from './tile.js' */

const LOOK_EVERY_MS = 250;
/** A page that was not looked at for so long slept. */
const SLEPT_MS = 5000;
const FIRST_PICTURE_LIMIT_MS = 3000;
/** Candidates kept for a generation whose offer has not come yet. */
const MOST_EARLY = 64;

/**
 * @typedef {object} LinkSettings
 * @property {boolean} offerer this page joined later than the participant
 * @property {(message: ClientMessage) => void} send
 * @property {() => Promise<Ice>} ice fresh settings for the next PeerConnection
 * @property {(kind: MediaKind) => MediaStreamTrack|null} track
 * @property {() => boolean} receiveOnly the token does not allow to send
 * @property {string|null} codec
 * @property {(text: string) => void} message
 * @property {(report: FilterReport) => void} report
 */

export class Link {
  /** @type {Participant} */
  participant;
  /** @type {Tile|Enhanced|null} a recorder has none: it sends nothing */
  tile;
  #settings;
  /** @type {Map<number, Peer>} */
  #peers = new Map();
  /** @type {Peer|null} the one on the tile */
  #playing = null;
  #newest = 0;
  #renewal = new Renewal();
  #timer;
  #unwatch;
  /** The generation that is about to be made. */
  #building = 0;
  /** The tile says that nothing comes. */
  #wavers = false;
  #looking = false;
  #looked = Date.now();
  #closed = false;
  /** No PeerConnection is wanted at the moment. */
  #resting = false;
  /** What the other one sends waits at least so many milliseconds. */
  #hold = 0;
  /** The other one is to send here itself. */
  #wanted = true;
  /** @type {Map<number, {candidate: string, mline: number}[]>} */
  #early = new Map();

  /**
   * @param {Participant} participant
   * @param {Tile|Enhanced|null} tile
   * @param {LinkSettings} settings
   * @param {Peer|null} former the PeerConnection on the tile now, from before the server was lost
   */
  constructor(participant, tile, settings, former = null) {
    this.participant = participant;
    this.tile = tile;
    this.#settings = settings;
    this.#playing = former;
    this.#timer = setInterval(this.#look, LOOK_EVERY_MS);
    this.#unwatch = watchNetwork(this.#alert);
    document.addEventListener('visibilitychange', this.#look);
  }

  /** The PeerConnection that serves now. */
  get peer() {
    return this.#playing ?? this.#peers.get(this.#newest) ?? null;
  }

  /** Builds the next generation and offers it. */
  async offer() {
    const generation = ++this.#newest;
    const ice = await this.#begin(generation);
    if (!ice) return;
    await this.#guard(this.#build(generation, ice), (peer) => peer.offer());
  }

  /** @param {number} generation @param {string} sdp */
  async onOffer(generation, sdp) {
    if (generation <= this.#newest) return;
    this.#newest = generation;
    const ice = await this.#begin(generation);
    if (!ice) return;
    const peer = this.#build(generation, ice);
    for (const { candidate, mline } of this.#early.get(generation) ?? []) peer.addCandidate(candidate, mline);
    this.#early.clear();
    await this.#guard(peer, () => peer.accept(sdp));
  }

  /** @param {number} generation @param {string} sdp */
  async onAnswer(generation, sdp) {
    const peer = this.#peers.get(generation);
    if (peer) await this.#guard(peer, () => peer.complete(sdp));
  }

  /** @param {number} generation @param {string} candidate @param {number} mline */
  onCandidate(generation, candidate, mline) {
    const peer = this.#peers.get(generation);
    if (peer) return void peer.addCandidate(candidate, mline);
    if (this.#settings.offerer || generation < this.#newest) return;
    const early = this.#early.get(generation) ?? [];
    if (early.length < MOST_EARLY) this.#early.set(generation, [...early, { candidate, mline }]);
  }

  /** The other one asks for another PeerConnection. @param {number} generation the one that does not serve any more */
  onRenew(generation) {
    if (!this.#settings.offerer || this.#resting || generation !== this.#newest) return;
    this.#renewal.asked(performance.now(), Math.random());
    this.#look();
  }

  /** Closes the PeerConnections and makes no more until `resume`. */
  rest() {
    this.#resting = true;
    for (const peer of this.#peers.values()) peer.close();
    this.#playing?.close();
    this.#peers.clear();
    this.#playing = null;
  }

  /** Goes on with the next generation; where the other one offers, with its next offer. */
  resume() {
    this.#resting = false;
    if (this.#settings.offerer) this.offer();
  }

  /** Asks for, or makes, the next generation. */
  renew() {
    if (this.#newest && !this.#resting) this.#renew();
  }

  /** @param {MediaKind} kind */
  replaceTrack(kind) {
    for (const peer of this.#peers.values()) peer.replaceTrack(kind);
    if (this.#playing && !this.#peers.has(this.#playing.generation)) this.#playing.replaceTrack(kind);
  }

  /** Lets what the other one sends wait, now and in later generations. @param {number} milliseconds at least */
  hold(milliseconds) {
    this.#hold = milliseconds;
    this.#playing?.hold(milliseconds);
    for (const peer of this.#peers.values()) peer.hold(milliseconds);
  }

  /** Has the other one send here itself, or not while a relay passes its media on. @param {boolean} wanted */
  want(wanted) {
    this.#wanted = wanted;
    for (const peer of this.#living()) peer.want(wanted);
  }

  /** @param {string} text */
  sendText(text) {
    return [...this.#peers.values()].some((peer) => peer.connected && peer.sendText(text));
  }

  /**
   * The server is gone, and this participant will come back with another id: stops negotiating, keeps playing.
   * @returns {{tile: Tile|Enhanced|null, peer: Peer|null}} for the link that comes after
   */
  handOver() {
    const peer = this.#playing;
    for (const other of this.#peers.values()) if (other !== peer) other.close();
    this.#stop();
    return { tile: this.tile, peer };
  }

  /** Ends everything, the tile too. */
  close() {
    for (const peer of this.#peers.values()) peer.close();
    this.#playing?.close();
    this.#stop();
    this.tile?.remove();
  }

  #stop() {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#unwatch();
    document.removeEventListener('visibilitychange', this.#look);
    this.#peers.clear();
    this.#playing = null;
  }

  /** @param {number} generation @returns {Promise<Ice|null>} what to make it with; null: it is not wanted any more */
  async #begin(generation) {
    this.#renewal.begun();
    this.#building = generation;
    const ice = await this.#settings.ice();
    if (this.#building === generation) this.#building = 0;
    return this.#closed || this.#resting || generation !== this.#newest ? null : ice;
  }

  /** @param {number} generation @param {Ice} ice */
  #build(generation, ice) {
    const { send, track, receiveOnly, codec, message, report } = this.#settings;
    const to = this.participant.id;
    const servers = this.#renewal.servers(ice);
    const peer = new Peer({ generation, ice: servers, track, receiveOnly: receiveOnly(), codec }, {
      description: (type, sdp) => this.#closed || send({ type, to, generation, sdp }),
      candidate: (candidate, mline) => this.#closed || send({ type: 'candidate', to, generation, candidate, mline }),
      connected: () => this.#connected(peer),
      wavering: this.#look,
      message,
      report,
      paused: () => peer === this.#playing && this.tile?.setPaused(peer.paused),
    });
    for (const other of this.#peers.values()) if (other !== this.#playing) this.#discard(other);
    peer.hold(this.#hold);
    if (!this.#wanted) peer.want(false);
    this.#peers.set(generation, peer);
    this.tile?.prepare(peer.stream, () => this.#plays(peer));
    return peer;
  }

  /** @param {Peer} peer @param {(peer: Peer) => Promise<void>} act */
  async #guard(peer, act) {
    try {
      await act(peer);
    } catch (error) {
      if (this.#peers.get(peer.generation) !== peer) return;
      console.warn('negotiation failed:', error);
      this.#discard(peer);
      this.#look();
    }
  }

  /** @param {Peer} peer */
  #connected(peer) {
    if (peer === this.#playing) return;
    // Only with another one still on the tile is there something to wait for: the new one's first picture.
    if (!this.#playing || !this.tile || !this.participant.sends.video || !this.#wanted) return this.#plays(peer);
    setTimeout(() => this.#plays(peer), FIRST_PICTURE_LIMIT_MS);
  }

  /** @param {Peer} peer */
  #plays(peer) {
    if (this.#closed || this.#peers.get(peer.generation) !== peer || peer === this.#playing) return;
    const former = this.#playing;
    this.#playing = peer;
    this.tile?.show(peer.stream);
    this.tile?.setPaused(peer.paused);
    this.#wavers = false;
    for (const other of this.#peers.values()) if (other.generation < peer.generation) this.#discard(other);
    former?.close();
  }

  /** @param {Peer} peer */
  #discard(peer) {
    peer.close();
    this.#peers.delete(peer.generation);
  }

  /** The network has changed, or the machine woke up. */
  #alert = () => {
    this.#renewal.networkChanged(performance.now());
    for (const peer of this.#living()) peer.alert();
    this.#look();
  };

  /** Looks whether a PeerConnection serves, and makes or asks for the next where none does. */
  #look = async () => {
    const slept = Date.now() - this.#looked > SLEPT_MS;
    this.#looked = Date.now();
    if (slept) return this.#alert();
    if (this.#closed || this.#resting || this.#looking) return;
    this.#looking = true;
    const { serves, comes } = await this.#judge();
    this.#looking = false;
    if (this.#closed || this.#resting) return;
    const now = performance.now();
    if (serves) this.#renewal.well(now);
    else if (this.#newest && !comes) this.#renewal.want(now, Math.random());
    this.#tell(!serves && this.#newest > 0 && (this.#playing !== null || !comes));
    if (this.#renewal.isDue(now)) this.#renew();
  };

  /** @param {boolean} wavers nothing comes */
  #tell(wavers) {
    if (wavers === this.#wavers) return;
    this.#wavers = wavers;
    if (wavers) this.tile?.waver();
    else this.tile?.steady();
  }

  async #judge() {
    const { audio, video } = this.participant.sends;
    let serves = false;
    let comes = this.#building > 0;
    for (const peer of this.#living()) {
      const verdict = await peer.look(this.#wanted && (audio || video));
      if (verdict === 'connecting') comes = true;
      else if (verdict !== 'stalled') serves = true;
      else if (peer !== this.#playing && (peer.over || !peer.wasConnected)) this.#discard(peer);
    }
    return { serves, comes };
  }

  /** Those that may serve: one, or two while the newer one is being connected. */
  #living() {
    return new Set(this.#playing ? [...this.#peers.values(), this.#playing] : this.#peers.values());
  }

  #renew() {
    if (this.#settings.offerer) return void this.offer();
    this.#renewal.waits(performance.now(), Math.random());
    this.#settings.send({ type: 'renew', to: this.participant.id, generation: this.#newest });
  }
}
