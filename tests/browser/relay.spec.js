// Through a real TURN server only: media flows although no direct path is allowed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { expect, expectMovingPicture, expectSound, test as base, tileOf } from './fixtures.js';
import { testKiosk } from './job.js';

const SECRET = 'shared by attache and coturn in this test';
const PORT = 3479;

/** This machine's own address: browsers gather nothing on loopback. */
const address = Object.values(networkInterfaces()).flat().find((one) => one?.family === 'IPv4' && !one.internal)?.address;

const test = base.extend(/** @type {any} */ ({
  coturn: [async (/** @type {{}} */ {}, /** @type {() => Promise<void>} */ use) => {
    const turn = spawn('turnserver', ['-n', '--listening-ip', String(address), '--relay-ip', String(address), '--listening-port', String(PORT),
      '--use-auth-secret', '--static-auth-secret', SECRET, '--realm', 'attache.test', '--no-tls', '--no-dtls', '--no-cli', '--no-rfc5780',
      '--log-file', 'stdout', '--pidfile', '/dev/null'], { stdio: 'ignore' });
    await use();
    turn.kill();
    await once(turn, 'exit');
  }, { auto: true }],
}));

test.skip(!address, 'this machine has only loopback');
test.use({ config: `[ice]
transport_policy = "relay"
[[ice.turn]]
urls = ["turn:${address}:${PORT}?transport=udp"]
secret = "${SECRET}"` });

test('two people meet through a relay', async ({ server, visit }) => {
  await visit(server.room('studio'));
  const ben = await visit(server.room('studio'));
  const video = ben.getByTestId('tile-video');
  await expectMovingPicture(video);
  await expectSound(video);
  await expect(ben.getByTestId('quality')).toHaveAttribute('data-path', 'relay');
});

test('a person and a kiosk meet through a relay', async ({ server, visit }) => {
  const kiosk = testKiosk(server.room('front'));
  try {
    const page = await visit(server.room('front'));
    const tile = tileOf(page, 'Front desk');
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expect(tile.getByTestId('quality')).toHaveAttribute('data-path', 'relay');
    await expect.poll(() => kiosk.last('receiving')?.video_frames ?? 0, { timeout: 30_000 }).toBeGreaterThan(15);
  } finally {
    await kiosk.stop();
  }
});
