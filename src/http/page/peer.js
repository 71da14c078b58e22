// One PeerConnection: the n-th generation between this page and one other participant.

import { prefer } from './codecs.js';
import { Liveness } from './liveness.js';

/** @import {Verdict} from './liveness.js' */
/** @import {Ice, MediaKind} from './types.js' */

const LONGEST_TEXT = 4000;

/**
 * @typedef {object} PeerSettings
 * @property {number} generation
 * @property {Ice} ice
 * @property {(kind: MediaKind) => MediaStreamTrack|null} track what this page sends now
 * @property {boolean} receiveOnly the token does not allow to send
 * @property {string|null} codec negotiate this video codec alone, as `VP8` or `H264`
 *
 * @typedef {object} PeerEvents
 * @property {(type: 'offer'|'answer', sdp: string) => void} description
 * @property {(candidate: string, mline: number) => void} candidate
 * @property {() => void} connected media can flow
 * @property {() => void} wavering it is to be looked at: the path is interrupted, or it will not work any more
 * @property {(text: string) => void} message
 * @property {(report: FilterReport) => void} report
 * @property {() => void} paused `paused` has changed
 *
 * @typedef {object} FilterReport what a filter does with this page's sound
 * @property {number} suppression by how many dB it becomes less loud between words
 * @property {boolean} bypassed it goes out as it came
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
  /** Milliseconds the browser has to hold media back: as little as the network allows, until somebody wants more. */
  #hold = 0;
  wasConnected = false;
  /** The other one sends no picture, for the connection is too weak for it. */
  paused = false;
  /** The other one is to send here itself: it need not where a relay passes its media on. */
  #wanted = true;
  /** The other one wants what this page sends from this page itself. */
  #given = true;
  #liveness = new Liveness(performance.now());
  /** What had come at the last look: RTP times, and packets. */
  #played = '';
  #packets = 0;

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
        await sender.replaceTrack(this.#trackOf(kind));
      } catch (error) {
        // It was closed meanwhile: the next generation takes the track when it is made.
        if (this.#connection.signalingState !== 'closed') throw error;
      }
    }
  }

  /** Tells the other one whether it is to send here itself. @param {boolean} wanted */
  want(wanted) {
    this.#wanted = wanted;
    if (this.#channel?.readyState === 'open') this.#channel.send(JSON.stringify({ direct: wanted }));
  }

  /** @param {MediaKind} kind */
  #trackOf(kind) {
    return this.#given ? this.#settings.track(kind) : null;
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

  /** It never works again. */
  get over() {
    return ['failed', 'closed'].includes(this.#connection.connectionState);
  }

  /** The network has changed, or the machine woke up. */
  alert() {
    this.#liveness.alert();
  }

  /** Whether media can flow; asked at least once a second. @param {boolean} expects the other one says that it sends @returns {Promise<Verdict>} */
  async look(expects) {
    const state = this.#connection.connectionState;
    const heard = state === 'connected' && await this.#hears();
    const canProbe = this.#channel?.readyState === 'open';
    const verdict = this.#liveness.look({ state, heard, canProbe, expects }, performance.now());
    // A byte that the other one passes over, and its SCTP acknowledges. One that waits to be sent again is enough.
    if (verdict === 'probe' && this.#channel?.bufferedAmount === 0) this.#channel.send(new Uint8Array(1));
    return verdict;
  }

  close() {
    this.#connection.onconnectionstatechange = null;
    this.#connection.onicecandidate = null;
    this.#connection.close();
  }

  /** Whether anything has come since the last look. Counters cost more than RTP times: they are read in silence only. */
  async #hears() {
    const sources = this.#connection.getReceivers().flatMap((receiver) => receiver.getSynchronizationSources());
    const played = sources.map(({ rtpTimestamp }) => rtpTimestamp).join();
    if (played !== this.#played) {
      this.#played = played;
      return true;
    }
    let packets = 0;
    // A connection that is closed meanwhile tells nothing.
    const report = await this.#connection.getStats().catch(() => new Map());
    for (const { type, packetsReceived, bytesReceived } of report.values()) {
      if (type === 'transport' || type === 'inbound-rtp') packets += packetsReceived ?? 0;
      if (type === 'candidate-pair') packets += bytesReceived ?? 0;
    }
    const heard = packets !== this.#packets;
    this.#packets = packets;
    return heard;
  }

  /** @param {RTCRtpTransceiver} transceiver */
  async #prepare(transceiver) {
    const kind = /** @type {MediaKind} */ (transceiver.receiver.track.kind);
    if (kind === 'video') await prefer(transceiver, this.#settings.codec);
    if (this.#settings.receiveOnly) return;
    await transceiver.sender.replaceTrack(this.#trackOf(kind));
    await rank(transceiver.sender, kind);
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
    channel.onopen = () => {
      if (!this.#wanted) this.want(false);
    };
    channel.onmessage = ({ data }) => {
      const { text, report, paused, direct } = read(data);
      if (text) this.#events.message(text);
      if (report) this.#events.report(report);
      if (direct !== undefined && direct !== this.#given) {
        this.#given = direct;
        for (const kind of /** @type {MediaKind[]} */ (['audio', 'video'])) void this.replaceTrack(kind);
      }
      if (paused === undefined) return;
      this.paused = paused;
      this.#events.paused();
    };
  }

  #moved() {
    switch (this.#connection.connectionState) {
      case 'connected':
        this.wasConnected = true;
        return this.#events.connected();
      case 'disconnected':
      case 'failed':
        return this.#events.wavering();
    }
  }
}

/**
 * @param {unknown} data `{"text": "..."}`, of a filter `{"filter": {...}}`, `{"video": "paused"}` and `{"video": "on"}`,
 *   of another page `{"direct": false}` and `{"direct": true}`
 * @returns {{text?: string, report?: FilterReport, paused?: boolean, direct?: boolean}} empty: it is none of these
 */
function read(data) {
  if (typeof data !== 'string') return {};
  try {
    const { text, filter, video, direct } = JSON.parse(data);
    if (typeof text === 'string') return { text: text.slice(0, LONGEST_TEXT) };
    if (video === 'paused' || video === 'on') return { paused: video === 'paused' };
    if (typeof direct === 'boolean') return { direct };
    if (typeof filter?.suppression_db !== 'number') return {};
    return { report: { suppression: filter.suppression_db, bypassed: filter.bypassed === true } };
  } catch {
    return {};
  }
}

/** @param {RTCRtpReceiver} receiver @param {number} milliseconds */
function hold(receiver, milliseconds) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = milliseconds;
}

/**
 * What gives way when the link is slow: the picture before the sound, and of the picture both its size and its rate.
 * @param {RTCRtpSender} sender @param {MediaKind} kind
 */
async function rank(sender, kind) {
  const parameters = sender.getParameters();
  if (kind === 'video') {
    Object.assign(parameters, { degradationPreference: 'balanced' });
    // A relay asks for several sizes: one is encoded once for all who see it there. Chromium leaves out those that are too small.
    parameters.encodings?.forEach((encoding, index) => Object.assign(encoding, { scaleResolutionDownBy: 2 ** index }));
  }
  if (kind === 'audio') parameters.encodings?.forEach((encoding) => Object.assign(encoding, { priority: 'high' }));
  // A browser that does not know one of them sends all the same.
  await sender.setParameters(parameters).catch((error) => console.warn('the priority was not taken:', error));
}
