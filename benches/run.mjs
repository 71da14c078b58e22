// `make bench`: every measurement but the long ones, to benches/results.json and docs/benchmarks.md.
// `ATTACHE_BIN=target/release/attache node benches/run.mjs join latency` measures these alone; what was measured of the
// others before stays, with its own date and commit; `link:gain` is one case of a part. `drift 3600` records an hour. `joins 2000` and `soak 480` (minutes) take as
// long as they take; their figures are written into docs/reconnection.md by hand.

import { readFileSync, writeFileSync } from 'node:fs';

import { measureChanges } from './changes.mjs';
import { measureCrash } from './crash.mjs';
import { isLong, measureDrift } from './drift.mjs';
import { measureFilter } from './filter.mjs';
import { measureHop } from './hop.mjs';
import { measureJoin } from './join.mjs';
import { measureJoins } from './joins.mjs';
import { measureKiosk } from './kiosk.mjs';
import { measureLatency } from './latency.mjs';
import { isWhole, measureLink } from './link.mjs';
import { describeMachine } from './machine.mjs';
import { measureMany } from './many.mjs';
import { measureMixed } from './mixed.mjs';
import { measureReconnect } from './reconnect.mjs';
import { measureRecorder } from './recorder.mjs';
import { page, rounded } from './report.mjs';
import { measureSoak } from './soak.mjs';
import { measureViewers } from './viewers.mjs';

const MEASUREMENTS = { join: measureJoin, latency: measureLatency, kiosk: measureKiosk, recorder: measureRecorder, mixed: measureMixed, many: measureMany, crash: measureCrash, changes: measureChanges, reconnect: measureReconnect, joins: measureJoins, filter: measureFilter, hop: measureHop, viewers: measureViewers, link: measureLink, drift: measureDrift, soak: measureSoak };
/** Those that take as long as they are told to. */
const LONG = ['drift', 'joins', 'soak'];
/** Those whose figures nobody but people writes down. */
const BY_HAND = ['joins', 'soak'];
const ROOT = new URL('..', import.meta.url).pathname;
const KEPT = new URL('results.json', import.meta.url);

/** What was measured before, part by part. */
function kept() {
  try {
    return JSON.parse(readFileSync(KEPT, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return { parts: {} };
    throw error;
  }
}

const given = process.argv.slice(2);
const seconds = given.filter((word) => /^\d+$/.test(word));
const wanted = given.filter((word) => !seconds.includes(word));
const unknown = wanted.find((word) => !MEASUREMENTS[word.split(':')[0]]);
if (unknown) throw new Error(`no measurement is called "${unknown}": there are ${Object.keys(MEASUREMENTS).join(', ')}`);
const names = wanted.length > 0 ? wanted : Object.keys(MEASUREMENTS).filter((name) => !LONG.includes(name));
for (const word of names) {
  const [name, ...cases] = word.split(':');
  const { date, commit, load_before, ...machine } = describeMachine();
  const measured = rounded(await MEASUREMENTS[name](...(LONG.includes(name) ? seconds : cases)));
  console.log(JSON.stringify({ [name]: measured }));
  if (BY_HAND.includes(name) || (LONG.includes(name) && !isLong(measured))) continue;
  // Read anew: a long one may run beside others.
  const { parts } = kept();
  const results = { machine, parts: { ...parts, [name]: { ...(cases.length > 0 ? parts[name] : {}), date, commit, load_before, ...measured } } };
  writeFileSync(KEPT, `${JSON.stringify(results, null, 1)}\n`);
  const missing = Object.keys(MEASUREMENTS).filter((part) => !BY_HAND.includes(part) && !(part === 'link' ? isWhole(results.parts.link ?? {}) : results.parts[part]));
  if (missing.length > 0) console.log(`docs/benchmarks.md waits for ${missing.join(', ')}`);
  else writeFileSync(`${ROOT}docs/benchmarks.md`, page(results));
}
