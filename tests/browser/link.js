// A network namespace and the link between it and this machine: it can be cut, and its far end can move. Needs to be root.

import { execFileSync } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';

/** Each link of this process has addresses of its own. */
let number = 0;

/** @param {string} program @param {string[]} options */
function run(program, ...options) {
  execFileSync(program, options, { stdio: ['ignore', 'ignore', 'inherit'] });
}

export class Link {
  /** @type {string} */
  #name;
  /** @type {string} this machine's end */
  #near;
  /** @type {string} */
  #far;
  #net;
  /** @type {string[][]} */
  #rules = [];
  /** @type {import('node:net').Server[]} */
  #doors = [];
  #owner;

  /** @param {Link|null} owner of the namespace, where this is a second link to it */
  constructor(owner = null) {
    number += 1;
    this.#owner = owner;
    this.#name = owner ? owner.#name : `atb-${process.pid}-${number}`;
    [this.#near, this.#far] = [`ab${process.pid}n${number}`, `ab${process.pid}f${number}`];
    this.#net = `10.${64 + (process.pid % 128)}.${100 + number}`;
    if (!owner) {
      run('ip', 'netns', 'add', this.#name);
      run('ip', '-n', this.#name, 'link', 'set', 'lo', 'up');
    }
    run('ip', 'link', 'add', this.#near, 'type', 'veth', 'peer', 'name', this.#far);
    // IPv4 alone: the rules know nothing else.
    for (const end of [this.#near, this.#far]) run('ip', 'link', 'set', end, 'addrgenmode', 'none');
    run('ip', 'link', 'set', this.#far, 'netns', this.#name);
    run('ip', 'addr', 'add', `${this.here}/24`, 'dev', this.#near);
    run('ip', 'link', 'set', this.#near, 'up');
    this.address('add', 2);
    run('ip', '-n', this.#name, 'link', 'set', this.#far, 'up');
  }

  /** This machine's address on the link. */
  get here() {
    return `${this.#net}.1`;
  }

  /** The namespace. */
  get name() {
    return this.#name;
  }

  /** The far end's interface, in the namespace. */
  get far() {
    return this.#far;
  }

  /** What to put before a command that runs at the far end. */
  get within() {
    return ['ip', 'netns', 'exec', this.#name];
  }

  /** A second link to the same namespace, over which nothing passes but what goes through its `door`: no path for media. */
  beside() {
    return new Link(this);
  }

  /** @param {'add'|'del'} act @param {number} host of the far end's address */
  address(act, host) {
    run('ip', '-n', this.#name, 'addr', act, `${this.#net}.${host}/24`, 'dev', this.#far);
  }

  /** Runs a program at the far end. @param {string[]} command */
  run(...command) {
    run('ip', 'netns', 'exec', this.#name, ...command);
  }

  /** Nothing passes any more, and nobody is told. */
  cut() {
    this.#rule('INPUT', '-i', this.#near, '-j', 'DROP');
    this.#rule('OUTPUT', '-o', this.#near, '-j', 'DROP');
  }

  /** Loses a part of the packets that come from the far end. @param {number} part from 0 to 1 */
  lose(part) {
    this.#rule('INPUT', '-i', this.#near, '-p', 'udp', '-m', 'statistic', '--mode', 'random', '--probability', String(part), '-j', 'DROP');
  }

  blockUdp() {
    this.#rule('INPUT', '-i', this.#near, '-p', 'udp', '-j', 'DROP');
    this.#rule('OUTPUT', '-o', this.#near, '-p', 'udp', '-j', 'DROP');
  }

  /** Of all ways to this machine one port of TCP is left: ICE finds paths over the others (RFC 6544), too. @param {number} port */
  onlyTcp(port) {
    this.blockUdp();
    this.#rule('INPUT', '-i', this.#near, '-p', 'tcp', '!', '--dport', String(port), '-j', 'DROP');
    this.#rule('OUTPUT', '-o', this.#near, '-p', 'tcp', '!', '--sport', String(port), '-j', 'DROP');
  }

  /** The far end sends no more than this, and 300 ms of it wait. @param {number} kilobits a second */
  limit(kilobits) {
    this.run('tc', 'qdisc', 'replace', 'dev', this.#far, 'root', 'tbf', 'rate', `${kilobits}kbit`, 'burst', '5kb', 'latency', '300ms');
  }

  /** Takes back `cut` and `blockUdp`. */
  mend() {
    for (const rule of this.#rules.splice(0)) run('iptables', '-w', '-D', ...rule);
  }

  /** Lets the far end reach a server of this machine's loopback; gives its URL as seen from there. @param {string} url */
  async door(url) {
    const { port, pathname } = new URL(url);
    const door = createServer((inside) => {
      const outside = connect(Number(port), '127.0.0.1');
      // On loopback a server answers to its own name only.
      inside.once('data', (head) => {
        outside.write(head.toString('latin1').replace(/^host: .*$/im, `Host: 127.0.0.1:${port}`), 'latin1');
        inside.pipe(outside);
      });
      outside.pipe(inside);
      for (const [one, other] of [[inside, outside], [outside, inside]]) one.on('error', () => other.destroy());
    });
    this.#doors.push(door);
    await once(door.listen(0, this.here), 'listening');
    const address = /** @type {import('node:net').AddressInfo} */ (door.address());
    if (this.#owner) this.onlyTcp(address.port);
    return `http://${this.here}:${address.port}${pathname}`;
  }

  remove() {
    this.mend();
    for (const door of this.#doors) door.close();
    run('ip', 'link', 'del', this.#near);
    if (!this.#owner) run('ip', 'netns', 'del', this.#name);
  }

  /** @param {string[]} rule of iptables, on this machine */
  #rule(...rule) {
    run('iptables', '-w', '-I', ...rule);
    this.#rules.push(rule);
  }
}
