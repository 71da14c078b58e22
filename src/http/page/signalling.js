// Owns the WebSocket to the server: joins, hands messages on, and comes back with growing pauses when it is lost. Within
// a session nothing is lost by that: both ends count messages, and send again what has not arrived.

/** @import {ClientMessage, ServerMessage} from './types.js' */

const PROTOCOL = 1;
const CONNECT_LIMIT_MS = 6000;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 15000;
/** Whoever was in a call tries more often: a server that was started anew has everybody back soon after it listens. */
const LONGEST_PAUSE_IN_MS = 1500;
/** The server hears of what arrived after so many messages, or so long. */
const ACK_EVERY = 16;
const ACK_WAIT_MS = 5000;
/** More messages than these do not wait for a lost server: it takes a thousand at once. */
const MOST_KEPT = 900;

/** Errors after which another try would end the same way. */
const FINAL = new Set(['unauthorized', 'forbidden', 'room_full', 'server_full', 'removed', 'unsupported_protocol',
  'session_taken', 'invalid_message', 'message_too_large']);

/**
 * @typedef {object} SignallingEvents
 * @property {(message: ServerMessage) => void} message anything but a fatal error; a `welcome` as who we were comes from a
 *   server that was started anew
 * @property {() => void} back the connection is there again, and nothing was lost
 * @property {(retryInMs: number) => void} lost the connection is gone; the next try comes by itself
 * @property {(code: string, message: string) => void} refused the server does not want us; no more tries
 */

export class Signalling {
  #url;
  #join;
  #events;
  /** @type {WebSocket|null} */
  #socket = null;
  #welcomed = false;
  #wasIn = false;
  #ended = false;
  #attempt = 0;
  #timer = 0;
  #ackTimer = 0;
  /** What to come back with. */
  #token = '';
  #me = '';
  #received = 0;
  #acknowledged = 0;
  /** @type {string[]} what the server may not have */
  #kept = [];
  /** How many of ours the server has, beside those. */
  #arrived = 0;

  /**
   * @param {string} url of the endpoint
   * @param {() => Omit<Extract<ClientMessage, {type: 'join'}>, 'type'|'protocol'>} join what to join with, asked at every try
   * @param {SignallingEvents} events
   */
  constructor(url, join, events) {
    this.#url = url;
    this.#join = join;
    this.#events = events;
    addEventListener('online', this.retryNow);
    addEventListener('offline', this.#drop);
  }

  connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket), CONNECT_LIMIT_MS);
    const session = this.#token ? { token: this.#token, received: this.#received } : {};
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join', protocol: PROTOCOL, ...this.#join(), session }));
    socket.onmessage = (event) => this.#receive(socket, event.data);
    socket.onclose = () => this.#lost(socket);
  }

  /**
   * Sends now or, within a session, when the server is back; or says that it cannot.
   * @param {ClientMessage} message
   */
  send(message) {
    if (!this.#token) return false;
    if (this.#kept.length >= MOST_KEPT) this.#forget();
    const text = JSON.stringify(message);
    this.#kept.push(text);
    if (this.#welcomed) this.#socket?.send(text);
    return true;
  }

  retryNow = () => {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#timer);
    this.connect();
  };

  /** Says goodbye and ends for good. */
  leave() {
    if (this.#welcomed) this.#socket?.send(JSON.stringify({ type: 'leave' }));
    this.#end();
  }

  /** @param {WebSocket} socket @param {unknown} data */
  #receive(socket, data) {
    if (socket !== this.#socket || typeof data !== 'string') return;
    /** @type {ServerMessage} */
    const message = JSON.parse(data);
    if (message.type === 'error' && message.fatal) return this.#fatal(socket, message.code, message.message);
    switch (message.type) {
      case 'welcome':
        this.#isBack();
        this.#begin(message.session?.token ?? '', message.you.id);
        break;
      case 'resumed':
        this.#isBack();
        this.#arrive(message.received);
        this.#resend();
        return this.#events.back();
      case 'ack':
        return this.#arrive(message.received);
      default:
        this.#count();
    }
    this.#events.message(message);
  }

  /** @param {WebSocket} socket @param {string} code @param {string} message */
  #fatal(socket, code, message) {
    if (code === 'session_over') {
      this.#forget();
      this.#lost(socket);
      return this.retryNow();
    }
    // A full room may be full of our own former self: whoever was in comes back.
    const final = FINAL.has(code) && !(this.#wasIn && code === 'room_full');
    if (!final) return this.#lost(socket);
    this.#end();
    this.#events.refused(code, message);
  }

  #isBack() {
    clearTimeout(this.#timer);
    this.#welcomed = true;
    this.#wasIn = true;
    this.#attempt = 0;
  }

  /** A session begins. Who is the same as before says again what the former server may not have had. @param {string} token @param {string} me */
  #begin(token, me) {
    const same = me === this.#me;
    this.#token = token;
    this.#me = me;
    this.#received = 0;
    this.#acknowledged = 0;
    this.#arrived = 0;
    // What went to one participant has reached it, most likely, and must not come twice.
    this.#kept = same ? this.#kept.filter((text) => !('to' in JSON.parse(text))) : [];
    this.#resend();
  }

  #forget() {
    this.#token = '';
    this.#kept = [];
  }

  #resend() {
    for (const text of this.#kept) this.#socket?.send(text);
  }

  /** @param {number} received how many of ours the server has */
  #arrive(received) {
    this.#kept.splice(0, received - this.#arrived);
    this.#arrived = received;
  }

  /** One more of the server's messages is here. */
  #count() {
    this.#received += 1;
    if (this.#received - this.#acknowledged >= ACK_EVERY) this.#acknowledge();
    else this.#ackTimer ||= setTimeout(() => this.#acknowledge(), ACK_WAIT_MS);
  }

  #acknowledge() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = 0;
    if (!this.#welcomed || !this.#token) return;
    this.#acknowledged = this.#received;
    this.#socket?.send(JSON.stringify({ type: 'ack', received: this.#received }));
  }

  #drop = () => {
    if (this.#socket) this.#lost(this.#socket);
  };

  /** @param {WebSocket} socket */
  #lost(socket) {
    if (this.#ended || socket !== this.#socket) return;
    this.#socket = null;
    this.#welcomed = false;
    clearTimeout(this.#timer);
    socket.close();
    const longest = this.#token ? LONGEST_PAUSE_IN_MS : LONGEST_PAUSE_MS;
    const pause = Math.min(longest, FIRST_PAUSE_MS * 2 ** this.#attempt) * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#timer = setTimeout(this.retryNow, pause);
    this.#events.lost(pause);
  }

  #end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#ackTimer);
    removeEventListener('online', this.retryNow);
    removeEventListener('offline', this.#drop);
    this.#socket?.close();
    this.#socket = null;
  }
}
