// One PeerConnection: the n-th generation between this page and one other participant.

/** @import {Ice, MediaKind} from './types.js' */

/** A short interruption of the path heals by itself; after this it counts as failed. */
const DISCONNECTED_LIMIT_MS = 4000;
const CONNECT_LIMIT_MS = 15000;
const LONGEST_TEXT = 4000;

/**
 * @typedef {object} PeerSettings
 * @property {number} generation
 * @property {Ice} ice
 * @property {(kind: MediaKind) => MediaStreamTrack|null} track what this page sends now
 * @property {boolean} receiveOnly the token does not allow to send
 * @property {string|null} codec put this video codec first, as `VP8` or `H264`
 *
 * @typedef {object} PeerEvents
 * @property {(type: 'offer'|'answer', sdp: string) => void} description
 * @property {(candidate: string, mline: number) => void} candidate
 * @property {() => void} connected media can flow
 * @property {() => void} wavering the path is interrupted, perhaps for a moment
 * @property {() => void} failed it will not work any more
 * @property {(text: string) => void} message
 */

/** Loads what a browser needs for its first connection, codecs above all, before somebody waits for it. */
export async function warmUp() {
  const connection = new RTCPeerConnection();
  for (const kind of ['audio', 'video']) connection.addTransceiver(kind);
  await connection.createOffer().catch(() => null);
  connection.close();
}

export class Peer {
  /** What the other one sends. */
  stream = new MediaStream();
  #settings;
  #events;
  #connection;
  /** @type {RTCDataChannel|null} */
  #channel = null;
  /** @type {RTCIceCandidateInit[]|null} candidates that came before the description they belong to */
  #early = [];
  #limit = 0;
  /** Milliseconds the browser has to hold media back: as little as the network allows, until somebody wants more. */
  #hold = 0;

  /** @param {PeerSettings} settings @param {PeerEvents} events */
  constructor(settings, events) {
    this.#settings = settings;
    this.#events = events;
    this.#connection = new RTCPeerConnection({
      iceServers: settings.ice.servers,
      iceTransportPolicy: settings.ice.transport_policy,
      bundlePolicy: 'max-bundle',
    });
    const connection = this.#connection;
    connection.onicecandidate = ({ candidate }) => {
      if (candidate && !candidate.candidate) return;
      this.#events.candidate(candidate?.candidate ?? '', candidate?.sdpMLineIndex ?? 0);
    };
    connection.ontrack = ({ track, receiver }) => {
      this.stream.addTrack(track);
      hold(receiver, this.#hold);
    };
    connection.ondatachannel = ({ channel }) => this.#adopt(channel);
    connection.onconnectionstatechange = () => this.#moved();
    this.#arm(CONNECT_LIMIT_MS);
  }

  get generation() {
    return this.#settings.generation;
  }

  get connected() {
    return this.#connection.connectionState === 'connected';
  }

  /** Makes the fixed m-lines (audio, video, data channel) and offers. */
  async offer() {
    this.#adopt(this.#connection.createDataChannel('chat'));
    const outgoing = new MediaStream();
    for (const kind of /** @type {MediaKind[]} */ (['audio', 'video'])) {
      const direction = this.#settings.receiveOnly ? 'recvonly' : 'sendrecv';
      const transceiver = this.#connection.addTransceiver(kind, { direction, streams: [outgoing] });
      await this.#prepare(transceiver);
    }
    await this.#describe();
  }

  /** @param {string} sdp the other's offer; answers it */
  async accept(sdp) {
    await this.#connection.setRemoteDescription({ type: 'offer', sdp });
    const outgoing = new MediaStream();
    for (const transceiver of this.#connection.getTransceivers()) {
      if (this.#settings.receiveOnly) continue;
      transceiver.direction = 'sendrecv';
      transceiver.sender.setStreams?.(outgoing);
      await this.#prepare(transceiver);
    }
    await this.#describe();
    await this.#addEarly();
  }

  /** @param {string} sdp the other's answer */
  async complete(sdp) {
    if (this.#connection.signalingState !== 'have-local-offer') return;
    await this.#connection.setRemoteDescription({ type: 'answer', sdp });
    await this.#addEarly();
  }

  /** @param {string} candidate empty: there are no more @param {number} mline */
  async addCandidate(candidate, mline) {
    const init = { candidate, sdpMLineIndex: mline };
    if (this.#early) this.#early.push(init);
    else await this.#add(init);
  }

  /** Takes what the page sends now; no renegotiation. @param {MediaKind} kind */
  async replaceTrack(kind) {
    if (this.#settings.receiveOnly) return;
    for (const { sender, receiver } of this.#connection.getTransceivers()) {
      if (receiver.track.kind !== kind) continue;
      try {
        await sender.replaceTrack(this.#settings.track(kind));
      } catch (error) {
        // It was closed meanwhile: the next generation takes the track when it is made.
        if (this.#connection.signalingState !== 'closed') throw error;
      }
    }
  }

  /** @param {string} text @returns {boolean} whether the channel is open */
  sendText(text) {
    if (this.#channel?.readyState !== 'open') return false;
    this.#channel.send(JSON.stringify({ text }));
    return true;
  }

  /** @returns {Promise<RTCStatsReport>} */
  stats() {
    return this.#connection.getStats();
  }

  /** How loud the other one is now, 0 to 1. */
  loudness() {
    const receiver = this.#connection.getReceivers().find(({ track }) => track.kind === 'audio');
    const [source] = receiver?.getSynchronizationSources() ?? [];
    const fresh = source && performance.timeOrigin + performance.now() - source.timestamp < 500;
    return fresh ? (source.audioLevel ?? 0) : 0;
  }

  /** The RTP time of the sound or picture that came out last; null: none has. @param {MediaKind} kind */
  played(kind) {
    const receiver = this.#connection.getReceivers().find(({ track }) => track.kind === kind);
    const [source] = receiver?.getSynchronizationSources() ?? [];
    return source?.rtpTimestamp ?? null;
  }

  /** How many seconds each sample of the other's sound has waited in the browser so far, together, and how many there were. */
  async waited() {
    for (const entry of (await this.stats()).values()) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'audio') continue;
      return { seconds: entry.jitterBufferDelay ?? 0, count: entry.jitterBufferEmittedCount ?? 0 };
    }
    return null;
  }

  /** Lets what the other one sends wait. @param {number} milliseconds at least */
  hold(milliseconds) {
    this.#hold = milliseconds;
    for (const receiver of this.#connection.getReceivers()) hold(receiver, milliseconds);
  }

  close() {
    clearTimeout(this.#limit);
    this.#connection.onconnectionstatechange = null;
    this.#connection.onicecandidate = null;
    this.#connection.close();
  }

  /** @param {RTCRtpTransceiver} transceiver */
  async #prepare(transceiver) {
    const kind = /** @type {MediaKind} */ (transceiver.receiver.track.kind);
    if (kind === 'video' && this.#settings.codec) prefer(transceiver, this.#settings.codec);
    if (!this.#settings.receiveOnly) await transceiver.sender.replaceTrack(this.#settings.track(kind));
  }

  async #describe() {
    await this.#connection.setLocalDescription();
    const description = this.#connection.localDescription;
    if (description?.type === 'offer' || description?.type === 'answer') {
      this.#events.description(description.type, description.sdp);
    }
  }

  async #addEarly() {
    const early = this.#early ?? [];
    this.#early = null;
    for (const init of early) await this.#add(init);
  }

  /** @param {RTCIceCandidateInit} init */
  async #add(init) {
    try {
      await this.#connection.addIceCandidate(init);
    } catch (error) {
      // One candidate of a kind this browser does not know is no reason to lose the others.
      if (this.#connection.connectionState !== 'closed') console.warn('a candidate was not taken:', error);
    }
  }

  /** @param {RTCDataChannel} channel */
  #adopt(channel) {
    if (channel.label !== 'chat') return;
    this.#channel = channel;
    channel.onmessage = ({ data }) => {
      const text = readText(data);
      if (text) this.#events.message(text);
    };
  }

  #moved() {
    switch (this.#connection.connectionState) {
      case 'connected':
        clearTimeout(this.#limit);
        return this.#events.connected();
      case 'disconnected':
        this.#arm(DISCONNECTED_LIMIT_MS);
        return this.#events.wavering();
      case 'failed':
        clearTimeout(this.#limit);
        return this.#events.failed();
    }
  }

  /** @param {number} limit */
  #arm(limit) {
    clearTimeout(this.#limit);
    this.#limit = setTimeout(() => this.#events.failed(), limit);
  }
}

/** @param {unknown} data @returns {string|null} the text of `{"text": "..."}` */
function readText(data) {
  if (typeof data !== 'string') return null;
  try {
    const { text } = JSON.parse(data);
    return typeof text === 'string' ? text.slice(0, LONGEST_TEXT) : null;
  } catch {
    return null;
  }
}

/** @param {RTCRtpReceiver} receiver @param {number} milliseconds */
function hold(receiver, milliseconds) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = milliseconds;
}

/** @param {RTCRtpTransceiver} transceiver @param {string} codec */
function prefer(transceiver, codec) {
  const all = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  const wanted = all.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}`);
  if (wanted.length) transceiver.setCodecPreferences([...wanted, ...all.filter((one) => !wanted.includes(one))]);
}
