// When the next PeerConnection is made or asked for. Pure: time and chance are passed in. The workers do the same, in
// src/peer/renewal.rs.

/** @import {Ice} from './types.js' */

/** The first pause, after a try that did not help at once; each is twice as long, up to the longest. */
const FIRST_MS = 500;
const LONGEST_MS = 15000;
/** An offer that was asked for is waited for so long at least. */
const OFFER_MS = 3000;
/** What has served for so long is a success: the next trouble is another one. */
const STEADY_MS = 10000;
/** After so many tries in vain, every other one uses TURN servers only: a path that ICE finds may carry no media. */
const DIRECT_TRIES = 2;

export class Renewal {
  /** Since media flowed for a while. */
  #tries = 0;
  /** @type {{at: number, asked: boolean}|null} */
  #due = null;
  /** @type {number|null} */
  #wellSince = null;

  /** No PeerConnection serves: the next is wanted. @param {number} now @param {number} chance 0 to 1 */
  want(now, chance) {
    this.#wellSince = null;
    this.#due ??= { at: now + this.#pause(chance), asked: false };
  }

  /** The other one asks for it, whatever is found here. @param {number} now @param {number} chance */
  asked(now, chance) {
    this.#due = { at: this.#due?.at ?? now + this.#pause(chance), asked: true };
  }

  /** One serves. @param {number} now */
  well(now) {
    if (!this.#due?.asked) this.#due = null;
    this.#wellSince ??= now;
    if (now - this.#wellSince >= STEADY_MS) this.#tries = 0;
  }

  /** What was in vain before may help now. @param {number} now */
  networkChanged(now) {
    this.#tries = 0;
    if (this.#due) this.#due.at = now;
  }

  /** Whether it is time for the next try; says so once. @param {number} now */
  isDue(now) {
    if (!this.#due || this.#due.at > now) return false;
    this.#due = null;
    this.#tries += 1;
    return true;
  }

  /** The other one was asked: without an offer, asks again later. @param {number} now @param {number} chance */
  waits(now, chance) {
    this.#due = { at: now + OFFER_MS + this.#pause(chance), asked: false };
  }

  /** The next has begun, ours or theirs. */
  begun() {
    this.#due = null;
    this.#wellSince = null;
  }

  /** What the next one uses of these servers. @param {Ice} ice @returns {Ice} */
  servers(ice) {
    const mayRelay = ice.servers.some(({ credential }) => credential);
    const inVain = Math.max(0, this.#tries - DIRECT_TRIES);
    return mayRelay && inVain % 2 === 1 ? { ...ice, transport_policy: 'relay' } : ice;
  }

  /** From half of it to all of it: many who lost the same path do not come back in step. @param {number} chance */
  #pause(chance) {
    if (this.#tries === 0) return 0;
    return Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#tries - 1)) * (0.5 + chance / 2);
  }
}
