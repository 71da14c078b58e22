// How good a connection is, from getStats of W3C WebRTC Statistics.

/**
 * @typedef {object} Quality what the last second was like; null where nothing is known
 * @property {number|null} rtt round trip, milliseconds
 * @property {number|null} loss of what the other one sent, percent
 * @property {number|null} received kilobits per second
 * @property {number|null} sent kilobits per second
 * @property {string|null} size as 1280×720
 * @property {number|null} fps pictures per second
 * @property {string|null} codec of the picture, as VP8
 * @property {'direct'|'relay'|null} path
 * @property {'good'|'fair'|'poor'|'unknown'} grade
 */

/** @typedef {{at: number, received: number, sent: number, packets: number, lost: number}} Counters */

export class QualityMeter {
  /** @type {Counters|null} */
  #before = null;

  /** @param {RTCStatsReport} report @returns {Quality} */
  read(report) {
    const pair = selectedPair(report);
    const now = count(report, pair);
    const before = this.#before ?? now;
    this.#before = now;
    const seconds = (now.at - before.at) / 1000;
    /** @param {number} bytes */
    const rate = (bytes) => (seconds > 0 ? Math.round((bytes * 8) / 1000 / seconds) : null);
    const lost = Math.max(0, now.lost - before.lost);
    const due = now.packets - before.packets + lost;
    const loss = due > 0 ? Math.round((lost / due) * 1000) / 10 : null;
    const seconds_per_trip = pair?.currentRoundTripTime;
    const rtt = seconds_per_trip === undefined ? null : Math.round(seconds_per_trip * 1000);
    return {
      rtt,
      loss,
      received: rate(now.received - before.received),
      sent: rate(now.sent - before.sent),
      ...picture(report),
      path: pathOf(report, pair),
      grade: grade(rtt, loss),
    };
  }
}

/** Words for the overlay. @param {Quality} quality @returns {[string, string][]} */
export function describe(quality) {
  const { rtt, loss, received, sent, size, fps, codec, path } = quality;
  /** @param {number|null} value @param {string} unit */
  const say = (value, unit) => (value === null ? '–' : `${value}${unit}`);
  return [
    ['Round trip', say(rtt, ' ms')],
    ['Loss', say(loss, ' %')],
    ['Bitrate', `↓ ${say(received, '')} ↑ ${say(sent, '')} kbit/s`],
    ['Picture', size ? `${size}, ${fps ?? 0} fps${codec ? `, ${codec}` : ''}` : '–'],
    ['Path', path === null ? '–' : path === 'relay' ? 'relayed' : 'direct'],
  ];
}

/** @param {RTCStatsReport} report */
function selectedPair(report) {
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) return report.get(entry.selectedCandidatePairId);
  }
  // Firefox marks the pair itself.
  for (const entry of report.values()) if (entry.type === 'candidate-pair' && entry.selected) return entry;
  return null;
}

/** @param {RTCStatsReport} report @param {any} pair @returns {Counters} */
function count(report, pair) {
  const counters = { at: pair?.timestamp ?? 0, received: pair?.bytesReceived ?? 0, sent: pair?.bytesSent ?? 0, packets: 0, lost: 0 };
  for (const entry of report.values()) {
    if (entry.type !== 'inbound-rtp') continue;
    counters.packets += entry.packetsReceived ?? 0;
    counters.lost += entry.packetsLost ?? 0;
  }
  return counters;
}

/** @param {RTCStatsReport} report */
function picture(report) {
  for (const entry of report.values()) {
    if (entry.type !== 'inbound-rtp' || entry.kind !== 'video' || !entry.frameWidth) continue;
    const codec = report.get(entry.codecId)?.mimeType?.split('/')[1] ?? null;
    const fps = entry.framesPerSecond === undefined ? null : Math.round(entry.framesPerSecond);
    return { size: `${entry.frameWidth}×${entry.frameHeight}`, fps, codec };
  }
  return { size: null, fps: null, codec: null };
}

/** @param {RTCStatsReport} report @param {any} pair @returns {'direct'|'relay'|null} */
function pathOf(report, pair) {
  if (!pair) return null;
  const ends = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
  return ends.some((end) => end?.candidateType === 'relay') ? 'relay' : 'direct';
}

/** @param {number|null} rtt @param {number|null} loss @returns {Quality['grade']} */
function grade(rtt, loss) {
  if (rtt === null) return 'unknown';
  if (rtt > 400 || (loss ?? 0) > 8) return 'poor';
  if (rtt > 180 || (loss ?? 0) > 2) return 'fair';
  return 'good';
}
