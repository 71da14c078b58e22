// `make bench`: every measurement, to target/bench/results.json and docs/benchmarks.md.
// `ATTACHE_BIN=target/release/attache node benches/run.mjs join` measures one thing and prints it; `drift 3600` records
// an hour.

import { mkdirSync, writeFileSync } from 'node:fs';

import { measureChanges } from './changes.mjs';
import { measureCrash } from './crash.mjs';
import { keepDrift, keptDrift, measureDrift } from './drift.mjs';
import { measureFilter } from './filter.mjs';
import { measureHop } from './hop.mjs';
import { measureJoin } from './join.mjs';
import { measureKiosk } from './kiosk.mjs';
import { measureLatency } from './latency.mjs';
import { describeMachine } from './machine.mjs';
import { measureMany } from './many.mjs';
import { measureMixed } from './mixed.mjs';
import { measureReconnect } from './reconnect.mjs';
import { measureRecorder } from './recorder.mjs';
import { page, rounded } from './report.mjs';
import { measureViewers } from './viewers.mjs';

const MEASUREMENTS = { join: measureJoin, latency: measureLatency, kiosk: measureKiosk, recorder: measureRecorder, mixed: measureMixed, many: measureMany, crash: measureCrash, changes: measureChanges, reconnect: measureReconnect, filter: measureFilter, hop: measureHop, viewers: measureViewers, drift: measureDrift };
/** Those that take as long as they are told to. */
const LONG = ['drift'];
const ROOT = new URL('..', import.meta.url).pathname;

const [wanted, ...more] = process.argv.slice(2);
const names = wanted === undefined ? Object.keys(MEASUREMENTS).filter((name) => !LONG.includes(name)) : [wanted];
const results = { machine: describeMachine() };
for (const name of names) {
  const measure = MEASUREMENTS[name];
  if (!measure) throw new Error(`no measurement is called "${name}": there are ${Object.keys(MEASUREMENTS).join(', ')}`);
  results[name] = rounded(await measure(...more));
  console.log(JSON.stringify({ [name]: results[name] }));
}
if (wanted === 'drift') keepDrift(results.drift, results.machine);
if (wanted === undefined) {
  results.drift = keptDrift();
  mkdirSync(`${ROOT}target/bench`, { recursive: true });
  writeFileSync(`${ROOT}target/bench/results.json`, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(`${ROOT}docs/benchmarks.md`, page(results));
  console.log('wrote target/bench/results.json and docs/benchmarks.md');
}
