// Hardware encoders that break in the middle of a call, played by stand-ins: the page goes on watching.

import { mkdirSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, expectMovingPicture, test as base, tileOf } from './fixtures.js';
import { expectNoLongFreeze, watchFreezes } from './freezes.js';
import { ROOT, Server } from './server.js';

/** Built by `cargo test`. */
const PLUGIN = join(ROOT, 'target/debug/examples/libstandins.so');

/** @typedef {{machine: (standIns: Record<string, string>) => Promise<Server>}} Machines a server on a machine with such hardware */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & import('./fixtures.js').Fixtures & Machines, {}>} */
const test = base.extend(/** @type {any} */ ({
  /** @param {object} _ @param {(machine: Machines['machine']) => Promise<void>} use @param {import('@playwright/test').TestInfo} info */
  machine: async ({ }, use, info) => {
    const folder = mkdtempSync(join(tmpdir(), 'attache-standins-'));
    mkdirSync(join(folder, 'plugins'));
    copyFileSync(PLUGIN, join(folder, 'plugins/libstandins.so'));
    /** @type {Server[]} */
    const servers = [];
    await use(async (standIns) => {
      const behaviours = Object.entries(standIns).map(([name, does]) => [`ATTACHE_STANDIN_${name}`, does]);
      const server = new Server('', {
        GST_PLUGIN_PATH: join(folder, 'plugins'),
        GST_REGISTRY: join(folder, 'registry.bin'),
        CACHE_DIRECTORY: join(folder, 'cache'),
        ...Object.fromEntries(behaviours),
      });
      servers.push(server);
      await server.start();
      return server;
    });
    for (const server of servers) {
      await server.dispose();
      if (info.status !== info.expectedStatus) console.log(`--- server log\n${server.log}---`);
    }
    rmSync(folder, { recursive: true, force: true });
  },
}));

const SMALL = { width: 640, height: 360, framerate: 20, bitrate_kbps: 600 };

/** The encoder of H.264 in use. @param {Server} server @param {string} id @returns {Promise<any>} */
async function encoderOf(server, id) {
  const { encoders } = await server.api(`jobs/${id}`);
  return encoders.find((/** @type {any} */ { codec }) => codec === 'H.264');
}

for (const [behaviour, reason] of [['fail-after:120', /failed/], ['hang-after:120', /made no frame for \d+ ms/]]) {
  test(`a page goes on watching when the hardware encoder does ${behaviour}`, async ({ machine, visit }) => {
    const server = await machine({ vah264enc: String(behaviour) });
    const kiosk = await server.startJob({ role: 'kiosk', room: 'front', name: 'Front desk', description: 'kiosk-test', parameters: SMALL });
    await expect.poll(() => server.log, { message: 'it is proven', timeout: 30_000 }).toMatch(/encoder="vah264enc".*works/);
    const page = await visit(server.room('front'), { query: '?codec=h264' });
    const video = tileOf(page, 'Front desk').getByTestId('tile-video');
    await expectMovingPicture(video);
    expect(await encoderOf(server, kiosk.id)).toMatchObject({ encoder: 'vah264enc', hardware: true });
    const { peers } = await server.api(`jobs/${kiosk.id}`);
    await watchFreezes(video);

    await expect.poll(async () => (await encoderOf(server, kiosk.id)).encoder, { message: 'the next encoder' }).toBe('x264enc');
    expect((await encoderOf(server, kiosk.id)).instead_of).toMatch(reason);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('attache_encoders{codec="H.264",encoder="x264enc"} 1');
    await expectMovingPicture(video);
    await expectNoLongFreeze(video);
    const now = await server.api(`jobs/${kiosk.id}`);
    expect(now.restarts).toBe(0);
    expect(now.peers[0].generation).toBe(peers[0].generation);
  });
}
