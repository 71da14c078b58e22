// What a process costs, by Linux's own books: processor time and memory from /proc.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Processor seconds that a process has used, all its threads together. */
function processorSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is a name in brackets and may hold anything: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory in MiB: what is resident, and this process' fair share of it. */
export function memory(pid) {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mebibytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)[1]) / 1024;
  return { rss_mib: mebibytes('Rss'), pss_mib: mebibytes('Pss') };
}

/** Watches a process for some seconds: cores used on average, memory at the end. */
export async function cost(pid, seconds) {
  const before = { processor: processorSeconds(pid), time: performance.now() };
  await pause(seconds * 1000);
  const used = processorSeconds(pid) - before.processor;
  return { cores: used / ((performance.now() - before.time) / 1000), ...memory(pid) };
}
