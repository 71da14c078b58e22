// What peers measured over the last minutes, and small graphs of it.

/** @import {Job, JobPeer, Tracks} from './status-stream.js' */

/** Two seconds each: three minutes. */
const KEPT = 90;
const WIDTH = 100;
const HEIGHT = 30;
const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {{sent: number, received: number, estimate: number|null, loss: number, roundTrip: number|null}} Sample */

/** @param {Tracks} tracks @param {(track: import('./status-stream.js').Track) => number} of */
const values = (tracks, of) => [tracks.audio, tracks.video].flatMap((track) => (track ? [of(track)] : []));

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

export class History {
  /** @type {Map<string, {last: string, samples: Sample[]}>} by job, participant and generation */
  #peers = new Map();

  /** @param {Job[]} jobs */
  add(jobs) {
    const living = new Set();
    for (const job of jobs) {
      for (const peer of job.peers) {
        const key = keyOf(job.id, peer);
        living.add(key);
        if (peer.quality) this.#add(key, peer.quality);
      }
    }
    for (const key of this.#peers.keys()) if (!living.has(key)) this.#peers.delete(key);
  }

  /** @param {string} job @param {JobPeer} peer */
  of(job, peer) {
    return this.#peers.get(keyOf(job, peer))?.samples ?? [];
  }

  /** @param {string} key @param {NonNullable<JobPeer['quality']>} quality */
  #add(key, quality) {
    const history = this.#peers.get(key) ?? { last: '', samples: [] };
    this.#peers.set(key, history);
    // The same measurement comes again when something else has changed.
    const text = JSON.stringify(quality);
    if (text === history.last) return;
    history.last = text;
    const { sent, received, round_trip_ms: roundTrip, estimate_kbps: estimate } = quality;
    history.samples.push({
      sent: sum(values(sent, ({ kbps }) => kbps)),
      received: sum(values(received, ({ kbps }) => kbps)),
      estimate: estimate ?? null,
      loss: Math.max(0, ...values(sent, ({ loss }) => loss), ...values(received, ({ loss }) => loss)) * 100,
      roundTrip: roundTrip ?? null,
    });
    if (history.samples.length > KEPT) history.samples.shift();
  }
}

/** @param {string} job @param {JobPeer} peer */
const keyOf = (job, { participant, generation }) => `${job} ${participant} ${generation}`;

/**
 * Some lines over the last minutes, from 0 to the highest value or `least`.
 * @param {string} title @param {string} value the newest, in words
 * @param {(number|null)[][]} lines @param {number} least
 */
export function graph(title, value, lines, least) {
  const figure = document.createElement('figure');
  figure.className = 'graph';
  const caption = document.createElement('figcaption');
  const output = document.createElement('output');
  output.textContent = value;
  caption.append(title, output);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const top = Math.max(least, ...lines.flat().map((one) => one ?? 0));
  for (const line of lines) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', drawn(line, top));
    svg.append(path);
  }
  figure.append(caption, svg);
  return figure;
}

/** @param {(number|null)[]} line @param {number} top */
function drawn(line, top) {
  const step = WIDTH / (KEPT - 1);
  const start = WIDTH - (line.length - 1) * step;
  let pen = 'M';
  return line.map((value, at) => {
    if (value === null) {
      pen = 'M';
      return '';
    }
    const point = `${pen}${(start + at * step).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`;
    pen = 'L';
    return point;
  }).join('');
}
