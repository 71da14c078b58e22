// What the numbers were measured on: processor, memory, system, versions, and how busy it was.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

/** The first line that a command prints; a dash where there is no such command. */
function firstLine(command, ...args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0].trim();
  } catch {
    return '-';
  }
}

/** Call it before the measurements: the load is that of the minute before. */
export function describeMachine() {
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'));
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: firstLine('git', 'rev-parse', '--short', 'HEAD'),
    processor: cpus()[0].model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    system: system ? system[1] : '-',
    kernel: firstLine('uname', '-r'),
    gstreamer: firstLine('pkg-config', '--modversion', 'gstreamer-1.0'),
    chromium: firstLine('chromium', '--version').replace(/ built on.*/, ''),
    load_before: Number(loadavg()[0].toFixed(2)),
  };
}
