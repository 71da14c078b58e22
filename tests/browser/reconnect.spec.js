// A page and a kiosk whose network fails in the middle of a call: they stay in it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { expect, expectMovingPicture, expectSound, test as base, tileOf } from './fixtures.js';
import { distantKiosk, testKiosk } from './job.js';
import { Link } from './link.js';
import { freePort, Server } from './server.js';

/** @typedef {{apart: {link: Link, kiosk: import('./job.js').Job, tile: import('@playwright/test').Locator}}} Apart a kiosk at the far end of a link, on a page */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & import('./fixtures.js').Fixtures & Apart, {}>} */
const test = base.extend(/** @type {any} */ ({
  /** @param {import('./fixtures.js').Fixtures} fixtures @param {(apart: Apart['apart']) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  apart: async ({ server, visit }, use, info) => {
    const link = new Link();
    const signalling = link.beside();
    const kiosk = distantKiosk(link, await signalling.door(server.room('front')));
    try {
      await expect.poll(() => kiosk.last('state')?.state, { message: 'the kiosk joins', timeout: 20_000 }).toBe('joined');
      const page = await visit(server.room('front'));
      const tile = tileOf(page, 'Front desk');
      await expectMovingPicture(tile.getByTestId('tile-video'));
      await use({ link, kiosk, tile });
    } finally {
      await kiosk.stop();
      tellOf(kiosk, info);
      signalling.remove();
      link.remove();
    }
  },
}));

test.use({ changesNetwork: true });

/** Waits for sound and a picture that moves; the next generation may take over meanwhile. @param {import('@playwright/test').Locator} tile */
async function expectMedia(tile) {
  await expect(async () => {
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expectSound(tile.getByTestId('tile-video'));
  }).toPass({ timeout: 60_000 });
}

/** What a kiosk told, for a test that failed. @param {import('./job.js').Job} kiosk @param {import('@playwright/test').TestInfo} info */
function tellOf(kiosk, info) {
  if (info.status !== info.expectedStatus) console.log(`--- kiosk\n${kiosk.log}\n${kiosk.events.map((event) => JSON.stringify(event)).join('\n')}\n---`);
}

test('a path that is cut freezes the picture, which goes on when the path is back', async ({ apart: { link, kiosk, tile } }) => {
  link.cut();
  await expect(tile.getByTestId('tile-state')).toHaveText('Reconnecting…');
  await expect.poll(() => kiosk.last('stalled')?.reason, { message: 'the kiosk notices, too' }).toMatch(/silence|network/);
  await expect(tile.getByTestId('tile-video')).toBeVisible();
  link.mend();
  await expect(tile.getByTestId('tile-state')).toBeEmpty();
  await expectMedia(tile);
});

test('a kiosk that gets another address comes back as the same participant', async ({ apart: { link, kiosk, tile } }) => {
  const before = await tile.getAttribute('data-participant');
  link.address('del', 2);
  await expect.poll(() => kiosk.last('stalled')?.reason, { message: 'the kiosk notices' }).toMatch(/silence|network/);
  await expect(tile.getByTestId('tile-state')).toHaveText('Reconnecting…');
  link.address('add', 3);
  const next = () => kiosk.last('peer', ({ generation }) => generation > 1)?.state;
  await expect.poll(next, { message: 'the next generation is connected', timeout: 30_000 }).toBe('connected');
  await expectMedia(tile);
  await expect(tile.getByTestId('tile-state')).toBeEmpty();
  expect(await tile.getAttribute('data-participant')).toBe(before);
});

const SECRET = 'shared by attache and coturn in this test';

/** A real TURN server. @param {string} address @param {number} port */
function turnServer(address, port) {
  const server = spawn('turnserver', ['-n', '--listening-ip', address, '--relay-ip', address, '--listening-port', String(port),
    '--use-auth-secret', '--static-auth-secret', SECRET, '--realm', 'attache.test', '--no-tls', '--no-dtls', '--no-cli', '--no-rfc5780',
    '--log-file', 'stdout', '--pidfile', '/dev/null'], { stdio: 'ignore' });
  return async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
}

/** @param {string} policy @param {string[]} urls */
function iceConfig(policy, urls) {
  const servers = urls.map((url) => `[[ice.turn]]\nurls = ["${url}"]\nsecret = "${SECRET}"`);
  return [`[ice]\ntransport_policy = "${policy}"`, ...servers].join('\n');
}

test('where UDP is blocked in the middle of a call, media goes on through a TURN server over TCP', async ({ visit }, info) => {
  const link = new Link();
  const signalling = link.beside();
  const port = await freePort();
  const endTurn = turnServer(link.here, port);
  const server = new Server(iceConfig('all', [`turn:${link.here}:${port}?transport=tcp`]));
  await server.start();
  const kiosk = distantKiosk(link, await signalling.door(server.room('front')));
  try {
    await expect.poll(() => kiosk.last('state')?.state, { message: 'the kiosk joins', timeout: 20_000 }).toBe('joined');
    const tile = tileOf(await visit(server.room('front')), 'Front desk');
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expect(tile.getByTestId('quality')).toHaveAttribute('data-path', 'direct');
    link.onlyTcp(port);
    await expect(tile.getByTestId('quality')).toHaveAttribute('data-path', 'relay', { timeout: 30_000 });
    await expectMedia(tile);
  } finally {
    await kiosk.stop();
    tellOf(kiosk, info);
    await server.dispose();
    await endTurn();
    signalling.remove();
    link.remove();
  }
});

test('a TURN server that dies in the middle of a call gives way to the next one', async ({ visit }, info) => {
  const address = Object.values(networkInterfaces()).flat().find((one) => one?.family === 'IPv4' && !one.internal)?.address;
  test.skip(!address, 'this machine has only loopback');
  const ports = [await freePort(), await freePort()];
  const server = new Server(iceConfig('relay', ports.map((port) => `turn:${address}:${port}?transport=udp`)));
  let endTurn = turnServer(String(address), ports[0]);
  // It is ready with one that can be used.
  await server.start();
  const kiosk = testKiosk(server.room('front'));
  try {
    await expect.poll(() => kiosk.last('state')?.state, { message: 'the kiosk joins', timeout: 20_000 }).toBe('joined');
    const tile = tileOf(await visit(server.room('front')), 'Front desk');
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await endTurn();
    endTurn = turnServer(String(address), ports[1]);
    await expect.poll(() => kiosk.last('stalled')?.reason, { message: 'the kiosk notices' }).toBeDefined();
    const next = () => kiosk.last('peer', ({ generation, state }) => generation > 1 && state === 'connected');
    await expect.poll(next, { message: 'the next generation is connected', timeout: 60_000 }).toBeDefined();
    await expectMedia(tile);
    await expect(tile.getByTestId('quality')).toHaveAttribute('data-path', 'relay');
  } finally {
    await kiosk.stop();
    tellOf(kiosk, info);
    await server.dispose();
    await endTurn();
  }
});
