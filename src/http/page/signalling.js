// Owns the WebSocket to the server: joins, hands messages on, and comes back with growing pauses when it is lost.

/** @import {ClientMessage, ServerMessage} from './types.js' */

const PROTOCOL = 1;
const CONNECT_LIMIT_MS = 6000;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 15000;

/** Errors after which another try would end the same way. */
const FINAL = new Set(['unauthorized', 'forbidden', 'room_full', 'server_full', 'removed', 'unsupported_protocol',
  'invalid_message', 'message_too_large']);

/**
 * @typedef {object} SignallingEvents
 * @property {(message: ServerMessage) => void} message anything but a fatal error
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
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join', protocol: PROTOCOL, ...this.#join() }));
    socket.onmessage = (event) => this.#receive(socket, event.data);
    socket.onclose = () => this.#lost(socket);
  }

  /**
   * Sends now, or says that it cannot: nothing is kept for later, since a new connection is a new participant.
   * @param {ClientMessage} message
   */
  send(message) {
    if (!this.#welcomed || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  retryNow = () => {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#timer);
    this.connect();
  };

  /** Says goodbye and ends for good. */
  leave() {
    this.send({ type: 'leave' });
    this.#end();
  }

  /** @param {WebSocket} socket @param {unknown} data */
  #receive(socket, data) {
    if (socket !== this.#socket || typeof data !== 'string') return;
    /** @type {ServerMessage} */
    const message = JSON.parse(data);
    if (message.type === 'error' && message.fatal) {
      // A full room may be full of our own former self: whoever was in comes back.
      const final = FINAL.has(message.code) && !(this.#wasIn && message.code === 'room_full');
      if (!final) return this.#lost(socket);
      this.#end();
      return this.#events.refused(message.code, message.message);
    }
    if (message.type === 'welcome') {
      clearTimeout(this.#timer);
      this.#welcomed = true;
      this.#wasIn = true;
      this.#attempt = 0;
    }
    this.#events.message(message);
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
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempt) * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#timer = setTimeout(this.retryNow, pause);
    this.#events.lost(pause);
  }

  #end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    removeEventListener('online', this.retryNow);
    removeEventListener('offline', this.#drop);
    this.#socket?.close();
    this.#socket = null;
  }
}
