// Whether a PeerConnection still carries media. Pure: what is seen and the time are passed in. The workers do the
// same, in src/peer/liveness.rs.

/** Nothing came for so long: it does not serve any more. Browsers themselves take five seconds and more to say so. */
const SILENCE_MS = 1500;
/** The same just after the network has changed, or the machine has slept. */
const SILENCE_AFTER_CHANGE_MS = 750;
/** How long a change makes impatient. */
const ALERT_MS = 3000;
/** After so much silence the other one's SCTP is asked for a sign of life: who is muted sends nothing. */
const PROBE_AFTER_MS = 700;
/** SCTP may acknowledge 200 ms late (RFC 9260 6.2); the rest is the way there and back. */
const ANSWER_MS = 750;
const CONNECT_MS = 10000;
/** Between two looks no more time than this counts: what is more, this page itself was held up or slept. */
const LONGEST_LOOK_MS = 1000;
/** Without a data channel, silence means something only after signs of life at so many looks. */
const FLOW = 10;

/**
 * @typedef {object} Seen
 * @property {RTCPeerConnectionState} state
 * @property {boolean} heard something has come since the last look
 * @property {boolean} canProbe the data channel is open
 * @property {boolean} expects the other one says that it sends sound or pictures
 *
 * `probe`: it goes well as far as known, and the other one is to be asked.
 * @typedef {'connecting'|'well'|'probe'|'stalled'} Verdict
 */

export class Liveness {
  #looked;
  #connecting = 0;
  #silent = 0;
  /** @type {number|null} how much silence there was when it was asked */
  #probed = null;
  #alert = 0;
  #heard = 0;
  /** @type {RTCPeerConnectionState} */
  #state = 'new';

  /** @param {number} now in milliseconds, as all times here */
  constructor(now) {
    this.#looked = now;
  }

  /** The network has changed, or the machine woke up: perhaps nothing comes any more. */
  alert() {
    this.#alert = ALERT_MS;
    this.#silent = 0;
    this.#probed = null;
  }

  /** Looks at it; to be done at least once a second. @param {Seen} seen @param {number} now @returns {Verdict} */
  look(seen, now) {
    const passed = Math.min(now - this.#looked, LONGEST_LOOK_MS);
    this.#looked = now;
    const isNew = seen.state !== this.#state;
    this.#state = seen.state;
    switch (seen.state) {
      case 'new':
      case 'connecting':
        this.#connecting += passed;
        return this.#connecting >= CONNECT_MS ? 'stalled' : 'connecting';
      case 'disconnected':
      case 'failed':
      case 'closed':
        return 'stalled';
      case 'connected':
        return this.#listen(isNew ? { ...seen, heard: true } : seen, passed);
    }
  }

  /** @param {Seen} seen @param {number} passed @returns {Verdict} */
  #listen({ heard, canProbe, expects }, passed) {
    const isAlert = this.#alert > 0;
    this.#alert = Math.max(0, this.#alert - passed);
    if (heard) {
      this.#heard += 1;
      this.#silent = 0;
      this.#probed = null;
      // A change is not over with the packets that were under way.
      if (!isAlert) return 'well';
    } else {
      this.#silent += passed;
    }
    if (canProbe && this.#probed === null && this.#silent >= (isAlert ? 0 : PROBE_AFTER_MS)) {
      this.#probed = this.#silent;
      return 'probe';
    }
    const limit = Math.max(isAlert ? SILENCE_AFTER_CHANGE_MS : SILENCE_MS, (this.#probed ?? -ANSWER_MS) + ANSWER_MS);
    const meansSomething = this.#probed !== null || (expects && this.#heard >= FLOW);
    return this.#silent >= limit && meansSomething ? 'stalled' : 'well';
  }
}
