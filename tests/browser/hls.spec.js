// What a recorder makes of HLS plays in a real browser with hls.js: while it is recorded, and from its beginning when it is finished.

import { once } from 'node:events';
import { createReadStream, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join, normalize } from 'node:path';
import { expect, expectFrames, test } from './fixtures.js';

const HLS_JS = createRequire(import.meta.url).resolve('hls.js/dist/hls.min.js');
const TYPES = { m3u8: 'application/vnd.apple.mpegurl', mp4: 'video/mp4', m4s: 'video/iso.segment', js: 'text/javascript', html: 'text/html' };
const PLAYER = `<!doctype html><button>Play</button><video></video><script src="/hls.min.js"></script><script>
  window.hls = new Hls();
  window.errors = [];
  hls.on(Hls.Events.ERROR, (_, error) => error.fatal && window.errors.push(error.type + ' ' + error.details));
  hls.loadSource(location.hash.slice(1));
  hls.attachMedia(document.querySelector('video'));
  document.querySelector('button').onclick = () => document.querySelector('video').play();
</script>`;

/** A web server as an operator would put before a folder of recordings. @param {string} folder */
async function serve(folder) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const ending = /** @type {keyof typeof TYPES} */ (path.split('.').at(-1));
    response.setHeader('content-type', TYPES[ending] ?? TYPES.html);
    response.setHeader('cache-control', 'no-store');
    const file = path === '/hls.min.js' ? HLS_JS : join(folder, path);
    if (path === '/') response.end(PLAYER);
    else if (existsSync(file)) createReadStream(file).pipe(response);
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** The multivariant playlist in a folder of recordings, once the picture has so many segments. @param {string} folder @param {number} segments */
async function playlistOf(folder, segments) {
  /** @type {string|undefined} */
  let found;
  await expect.poll(() => {
    if (!existsSync(folder)) return 0;
    found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('index.m3u8'));
    return found ? readFileSync(join(folder, found, '../picture.m3u8'), 'utf8').split('#EXTINF').length - 1 : 0;
  }, { timeout: 60_000, message: 'segments' }).toBeGreaterThanOrEqual(segments);
  return String(found);
}

/**
 * Runs in the page: when the picture turns bright and when it begins to sound, in seconds of the film.
 * @param {Element} element @param {number} seconds
 */
async function watch(element, seconds) {
  const video = /** @type {HTMLVideoElement} */ (element);
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 512 });
  context.createMediaElementSource(video).connect(analyser);
  await context.resume();
  const canvas = new OffscreenCanvas(40, 20);
  const pixels = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  const samples = new Float32Array(analyser.fftSize);
  /** @type {{flashes: number[], beeps: number[]}} */
  const seen = { flashes: [], beeps: [] };
  const was = { bright: true, loud: true };
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    pixels.drawImage(video, 0, 0, 40, 20);
    // Where the kiosk's test picture has its flash.
    const { data } = pixels.getImageData(28, 3, 8, 4);
    const bright = data.reduce((sum, value) => sum + value, 0) / data.length > 200;
    analyser.getFloatTimeDomainData(samples);
    const loud = Math.max(...samples) > 0.05;
    if (bright && !was.bright) seen.flashes.push(video.currentTime);
    if (loud && !was.loud) seen.beeps.push(video.currentTime);
    Object.assign(was, { bright, loud });
  }
  return seen;
}

/** Seconds between picture and sound in Chromium: a picture, a block of samples, and a look every 10 ms; the files' own offsets are measured elsewhere. */
const APART = 0.08;

/** Half of all flashes are not further from the nearest beep, in seconds. @param {{flashes: number[], beeps: number[]}} seen */
function middle({ flashes, beeps }) {
  const apart = flashes.map((flash) => Math.min(...beeps.map((beep) => Math.abs(beep - flash))));
  return apart.sort((a, b) => a - b)[Math.floor(apart.length / 2)];
}

for (const { what, description, parameters, sounds } of [
  { what: 'a visit with H.264 and Opus', description: 'live', parameters: {}, sounds: /^avc3\.42[0-9a-f]{4},Opus$/ },
  { what: 'a mix with H.264 and AAC', description: 'recorder-live', parameters: { hls: true, width: 640, height: 360 }, sounds: /^avc3\.[0-9a-f]{6},mp4a\.40\.2$/ },
]) {
  test(`${what} plays with hls.js while it is recorded and afterwards`, async ({ server, people }) => {
    test.slow();
    const shipped = readFileSync(join(server.pipelines, 'recorder.toml'), 'utf8');
    const text = shipped.replace('[recording]\n', '[recording]\nhls = true\nhls_segment_s = 2\n');
    expect(text).not.toBe(shipped);
    writeFileSync(join(server.pipelines, 'live.toml'), `${text}\n[settings.video]\ncodecs = ["h264"]\n`);
    await server.startJob({ role: 'kiosk', room: 'studio', description: 'kiosk-test', parameters: { width: 640, height: 360 } });
    const { id } = await server.startJob({ role: 'recorder', room: 'studio', description, parameters });
    const recordings = join(server.folder, 'recordings');
    const playlist = await playlistOf(recordings, 3);
    const web = await serve(recordings);
    try {
      const page = await people.newPage();
      const video = page.locator('video');
      await page.goto(`${web.url}/#/${playlist}`);
      await page.locator('button').click();
      await expectFrames(video);
      const seen = await video.evaluate(watch, 8);
      expect(seen.flashes.length, 'flashes in eight seconds').toBeGreaterThanOrEqual(5);
      expect(seen.beeps.length, 'beeps in eight seconds').toBeGreaterThanOrEqual(5);
      console.log(`${what}: ${JSON.stringify(seen)}`);
      expect(middle(seen), 'seconds between a flash and its beep').toBeLessThan(APART);
      expect(await page.evaluate('window.errors')).toEqual([]);
      const { audio, codecs } = await page.evaluate('({ audio: hls.audioTracks.length, codecs: hls.levels[0].codecs })');
      expect(audio, 'the sound has a playlist of its own').toBe(1);
      expect(codecs).toMatch(sounds);

      await server.api(`jobs/${id}`, { method: 'DELETE' });
      await expect.poll(async () => (await server.api(`jobs/${id}`)).state, { timeout: 20_000 }).toBe('stopped');
      const { duration_ms: recorded } = (await server.api(`jobs/${id}`)).recordings[0];
      const again = await people.newPage();
      await again.goto(`${web.url}/#/${playlist}`);
      await again.locator('button').click();
      const finished = again.locator('video');
      await expectFrames(finished);
      const film = () => finished.evaluate((element) => {
        const { currentTime, duration } = /** @type {HTMLVideoElement} */ (element);
        return { currentTime, duration };
      });
      const { currentTime, duration } = await film();
      expect(currentTime, 'it begins at the beginning').toBeLessThan(10);
      expect(Math.abs(duration - recorded / 1000), `${duration} s of ${recorded} ms`).toBeLessThan(2);
      await finished.evaluate((element, to) => {
        /** @type {HTMLVideoElement} */ (element).currentTime = to;
      }, duration - 4);
      await expectFrames(finished);
      expect((await film()).currentTime, 'it can be searched').toBeGreaterThan(duration - 4);
      expect(await again.evaluate('window.errors')).toEqual([]);
    } finally {
      web.close();
    }
  });
}
