// What a kiosk sends over links of different rates, what that does to them, and what the one who watches has of it.
// `ATTACHE_BIN=target/release/attache node benches/link.mjs [case]` prints what was measured; `benches/run.mjs` writes it down.

import { writeFileSync } from 'node:fs';

import { Attache } from './attache.mjs';
import { launch } from './browser.mjs';
import { draw } from './curves.mjs';
import { run } from './flows.mjs';
import { rounded, spread } from './report.mjs';

const IMAGES = new URL('../docs/images/', import.meta.url);
/** A link that becomes narrow does so at any moment of the receiver's round of reports: one run says little. */
const FALLS = 3;
/** Nor does one run of these. */
const [STARTS, GAINS] = [5, 3];
const FALL_S = 15;
const GAIN_S = 15;

const between = (samples, from, until) => samples.filter(({ at }) => at >= from && at < until);

/** Kilobits per second that passed in a time. */
function rate(samples, from, until) {
  const bytes = between(samples, from, until).reduce((sum, sample) => sum + sample.bytes, 0);
  return (bytes * 8) / (until - from);
}

/** Milliseconds from a moment until the rate over a second first is so high. */
function timeTo(samples, from, kbps) {
  const reached = samples.find(({ at }) => at >= from + 1000 && rate(samples, at - 1000, at) >= kbps);
  return reached ? reached.at - from : null;
}

/** The same of several runs; one that does not come so far counts as if it had at its end. */
const timesTo = (runs, from, kbps, seconds) => spread(runs.map(({ samples }) => timeTo(samples, from, kbps) ?? seconds * 1000 - from));

const queues = (samples, from) => spread(samples.filter(({ at }) => at >= from).map(({ queue_ms }) => queue_ms));

/** What a page received, in kb/s. */
const pageRate = ({ bytes, seconds }) => (bytes * 8) / 1000 / seconds;

const frozen = ({ frozen_s, seconds }) => frozen_s / seconds;

/** Jain's index of fairness: 1 where all have the same. */
function jain(rates) {
  const sum = rates.reduce((all, one) => all + one, 0);
  return sum ** 2 / (rates.length * rates.reduce((all, one) => all + one ** 2, 0));
}

function fall({ samples, estimates, pages }) {
  const from = FALL_S * 1000;
  const reacted = estimates.find(({ at, kbps }) => at >= from && kbps <= 720);
  return {
    reaction_ms: reacted ? reacted.at - from : null,
    queue_peak_ms: Math.max(...between(samples, from, Infinity).map(({ queue_ms }) => queue_ms)),
    frozen_ms: pages[0].frozen_s * 1000,
  };
}

/** Each case: what `run` is told, how often it is, and the figures of it. */
const CASES = {
  start: {
    title: 'Start on 1 Mb/s',
    times: STARTS,
    of: { rates: [[0, 1000]], seconds: 15 },
    figures: (runs) => ({ times: STARTS, to_90_percent_ms: timesTo(runs, 0, 900, 15) }),
  },
  gain: {
    title: 'From 1 to 2.5 Mb/s',
    times: GAINS,
    of: { rates: [[0, 1000], [GAIN_S, 2500]], seconds: GAIN_S + 20 },
    figures: (runs) => ({ times: GAINS, to_90_percent_ms: timesTo(runs, GAIN_S * 1000, 2250, GAIN_S + 20) }),
  },
  fall: {
    title: 'From 2.5 to 0.6 Mb/s',
    times: FALLS,
    of: { rates: [[0, 2500], [FALL_S, 600]], from: FALL_S, seconds: FALL_S + 10 },
    figures: (runs) => {
      const all = runs.map(fall);
      const spreads = Object.keys(all[0]).map((name) => [name, spread(all.map((one) => one[name]))]);
      return { times: FALLS, ...Object.fromEntries(spreads) };
    },
  },
  steady: {
    title: 'One minute on 1 Mb/s',
    of: { rates: [[0, 1000]], seconds: 65 },
    figures: ([{ samples, tiers }]) => ({
      used: rate(samples, 5000, 65_000) / 1000,
      queue_p95_ms: queues(samples, 5000).p95,
      tier_changes: between(tiers, 5000, 65_000).length,
    }),
  },
  loss: {
    title: '10 % of the packets lost, 2 Mb/s',
    of: { rates: [[0, 2000]], loss: 0.1, from: 5, seconds: 35 },
    figures: ([{ pages: [page] }]) => ({ kbps: pageRate(page), frozen: frozen(page) }),
  },
  beside_tcp: {
    title: 'Beside one TCP flow, 1 Mb/s',
    of: { rates: [[0, 1000]], tcp: true, from: 10, seconds: 60 },
    figures: ([{ pages: [page] }]) => ({ kbps: pageRate(page) }),
  },
  two: {
    title: 'Two kiosks on 2 Mb/s: the first',
    of: { rates: [[0, 2000]], flows: 2, from: 15, seconds: 60 },
    figures: ([{ pages, samples }]) => ({ jain: jain(pages.map(pageRate)), kbps: pages.map(pageRate), used: rate(samples, 15_000, 60_000) / 2000 }),
  },
  squeezed: {
    title: 'Squeezed to 100 kb/s',
    of: { rates: [[0, 1000], [5, 100]], from: 5, seconds: 35 },
    figures: ([{ pages: [page] }]) => ({ concealed: page.concealed / page.samples }),
  },
};

/** Whether every case has been measured. */
export const isWhole = (link) => Object.keys(CASES).every((name) => link[name]);

export async function measureLink(...only) {
  const unknown = only.find((name) => !CASES[name]);
  if (unknown) throw new Error(`no case is called "${unknown}": there are ${Object.keys(CASES).join(', ')}`);
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'small.mjpeg' });
  const results = {};
  try {
    for (const [name, { title, of, times = 1, figures }] of Object.entries(CASES)) {
      if (only.length > 0 && !only.includes(name)) continue;
      const runs = [];
      while (runs.length < times) runs.push(await run(attache, browser, of));
      results[name] = figures(runs);
      writeFileSync(new URL(`link-${name.replace('_', '-')}.svg`, IMAGES), draw(title, runs[0]));
    }
    return results;
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log(JSON.stringify(rounded(await measureLink(...process.argv.slice(2))), null, 1));
