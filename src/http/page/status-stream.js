// The server's state as a stream of server-sent events, read by fetch: an EventSource cannot send a token.

/**
 * @typedef {{audio?: Track, video?: Track}} Tracks
 * @typedef {{kbps: number, loss: number, jitter_ms: number, nacks: number, key_frame_requests: number}} Track
 * @typedef {{round_trip_ms?: number, path?: 'direct'|'relayed', estimate_kbps?: number, queue_ms?: number, sent: Tracks, received: Tracks, score?: number}} Quality
 * @typedef {{participant: string, generation: number, state: string, audio_frames: number, video_frames: number, tier?: string, quality?: Quality}} JobPeer
 * @typedef {{cores: number, memory_mb: number}} Cost
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {{role: string, room: string, description?: string, name?: string}} spec
 * @property {string} state
 * @property {string} [participant]
 * @property {JobPeer[]} peers
 * @property {{file: string, bytes: number, duration_ms: number, finished: boolean}[]} recordings
 * @property {{codec: string, encoder: string, hardware: boolean, reason: string}[]} encoders
 * @property {string[]} notices
 * @property {{device: string, reason: string, since: string}[]} [lost] devices that are away
 * @property {{speaking: string[], active?: string}} [speech] what it hears
 * @property {{participant: string, p99_us: number, load: number, suppression_db: number, voice: number, bypassed: boolean}[]} [filters]
 * @property {boolean} paused
 * @property {string} [last_error]
 * @property {number} restarts
 * @property {string} started_at
 *
 * @typedef {object} Room
 * @property {string} name
 * @property {{id: string, kind: string, name?: string, recording: boolean, sends: {audio: boolean, video: boolean}}[]} participants
 *
 * @typedef {object} Status
 * @property {string} version
 * @property {{ready: boolean, reasons: string[]}} health
 * @property {Room[]} rooms
 * @property {Job[]} jobs
 * @property {{used: Cost, limit?: Cost}} load
 */

/** The server wants another token, or one at all. */
export class Refused extends Error {}

export class StatusStream {
  /** Each state that the server tells. @param {string|null} token @returns {AsyncGenerator<Status>} */
  static async *open(token) {
    const headers = token ? { authorization: `Bearer ${token}` } : undefined;
    const response = await fetch('/api/v1/status/stream', { headers });
    if (response.status === 401 || response.status === 403) throw new Refused((await response.json()).error.message);
    if (!response.ok || !response.body) throw new Error(`the server answers ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (text + value).split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) {
        const data = part.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart());
        // Comments keep the connection alive.
        if (data.length) yield JSON.parse(data.join('\n'));
      }
    }
  }
}
