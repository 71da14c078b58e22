// A publisher that sends its picture in three sizes (simulcast, RFC 8853): each who watches gets one of them.

import { noteConnections } from './connections.js';
import { expect, expectFrames, expectMovingPicture, test } from './fixtures.js';

/** The sizes, the largest first. */
const HEIGHTS = { h: 360, m: 180, l: 90 };

/**
 * Publishes a drawing of 640x360 in three sizes.
 * @param {import('@playwright/test').Page} page @param {string} endpoint
 * @returns {Promise<string>} the answer
 */
function publish(page, endpoint) {
  return page.evaluate(async (url) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    let turn = 0;
    setInterval(() => {
      turn += 1;
      context.fillStyle = '#111';
      context.fillRect(0, 0, 640, 360);
      context.fillStyle = '#eee';
      context.fillRect((turn * 13) % 640, 0, 200, 360);
    }, 50);
    const connection = new RTCPeerConnection();
    const stream = canvas.captureStream(20);
    const sendEncodings = ['h', 'm', 'l'].map((rid, index) => ({ rid, scaleResolutionDownBy: 2 ** index, maxBitrate: [500_000, 200_000, 80_000][index] }));
    const { sender } = connection.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly', streams: [stream], sendEncodings });
    // On a busy machine a browser would make smaller pictures.
    await sender.setParameters(Object.assign(sender.getParameters(), { degradationPreference: 'maintain-resolution' }));
    await connection.setLocalDescription();
    const headers = { 'content-type': 'application/sdp' };
    const response = await fetch(url, { method: 'POST', headers, body: connection.localDescription?.sdp });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${answer}`);
    const location = new URL(response.headers.get('location') ?? '', url).href;
    connection.onicecandidate = ({ candidate }) => {
      const body = candidate ? `a=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n` : 'a=end-of-candidates\r\n';
      void fetch(location, { method: 'PATCH', headers: { 'content-type': 'application/trickle-ice-sdpfrag' }, body });
    };
    await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    Object.assign(window, { connection });
    return answer;
  }, endpoint);
}

/** Lets some of the sizes be sent, as a browser does whose link or processor has room for no more. @param {import('@playwright/test').Page} page @param {string[]} rids */
function send(page, rids) {
  return page.evaluate(async (wanted) => {
    const [sender] = /** @type {RTCPeerConnection} */ (/** @type {any} */ (window).connection).getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.active = wanted.includes(/** @type {any} */ (encoding).rid);
    await sender.setParameters(parameters);
  }, rids);
}

/** How often key frames were asked for, by size. @param {import('@playwright/test').Page} page @returns {Promise<Record<string, number>>} */
function asked(page) {
  return page.evaluate(async () => {
    const report = await /** @type {RTCPeerConnection} */ (/** @type {any} */ (window).connection).getStats();
    const sent = [...report.values()].filter(({ type }) => type === 'outbound-rtp');
    return Object.fromEntries(sent.map(({ rid, pliCount, firCount }) => [rid, pliCount + firCount]));
  });
}

/** @param {import('@playwright/test').Page} page @param {string} endpoint */
async function play(page, endpoint) {
  await page.evaluate(async (url) => {
    const connection = new RTCPeerConnection();
    const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, srcObject: new MediaStream() });
    video.dataset.testid = 'player';
    // Where it is seen: a browser does not begin to play what nobody sees.
    video.style.cssText = 'position: fixed; top: 0; z-index: 9';
    document.body.append(video);
    connection.addTransceiver('video', { direction: 'recvonly' });
    connection.ontrack = ({ track }) => /** @type {MediaStream} */ (video.srcObject).addTrack(track);
    await connection.setLocalDescription();
    while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', resolve, { once: true }));
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: connection.localDescription?.sdp });
    await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  }, endpoint);
  return page.getByTestId('player');
}

/** Waits until the picture has this many lines, and moves. @param {import('@playwright/test').Locator} video @param {number} height */
async function expectHeight(video, height) {
  await expect.poll(() => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).videoHeight), { timeout: 30_000 }).toBe(height);
  await expectFrames(video, 10);
}

test('of three sizes a viewer gets the largest that comes, and goes on with the next one when that stops', async ({ server, visit }) => {
  const publisher = await visit(`${server.url}/status`);
  const answer = await publish(publisher, `${server.url}/whip/stage`);
  expect(answer).toContain('a=simulcast:recv h;m;l');
  const player = await play(await visit(`${server.url}/status`), `${server.url}/whep/stage`);
  await expectHeight(player, HEIGHTS.h);
  await expectMovingPicture(player);
  await send(publisher, ['m', 'l']);
  await expectHeight(player, HEIGHTS.m);
  await send(publisher, ['l']);
  await expectHeight(player, HEIGHTS.l);
  await send(publisher, ['h', 'm', 'l']);
  await expectHeight(player, HEIGHTS.h);
  expect((await asked(publisher)).h, 'each turn to a size asks that one for a key frame').toBeGreaterThan(0);
});

test('more sizes than anybody needs are refused in words', async ({ server, visit }) => {
  const page = await visit(`${server.url}/status`);
  const offer = await page.evaluate(async () => {
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'sendonly', sendEncodings: [{ rid: 'h' }, { rid: 'l' }] });
    const { sdp = '' } = await connection.createOffer();
    connection.close();
    return sdp;
  });
  expect(offer).toContain('a=simulcast:send h;l');
  const body = offer.replace('send h;l', 'send a;b;c;d;e');
  const response = await fetch(`${server.url}/whip/stage`, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body });
  expect(response.status).toBe(422);
  expect((await response.json()).error?.message).toContain('sends 5 encodings of its picture; attache takes up to 4');
});

test.describe('in a large room', () => {
  test.use({ config: '[rooms]\nmesh_up_to = 1\n', browserKind: { picture: 'sync.mjpeg' } });

  test('a page sends its picture in several sizes to its relay, and the others see the largest', async ({ server, visit }) => {
    const ada = await visit(server.room('hall'), { before: noteConnections });
    const ben = await visit(server.room('hall'));
    const tile = ben.locator('.tile[data-picture="enhanced"]');
    await expect(tile).toHaveCount(1, { timeout: 60_000 });
    const sizes = () => ada.evaluate(async () => {
      const all = /** @type {RTCPeerConnection[]} */ (/** @type {any} */ (window).connections);
      const reports = await Promise.all(all.map((connection) => connection.getStats()));
      const sent = reports.flatMap((report) => [...report.values()]).filter(({ rid, framesSent }) => rid && framesSent > 0);
      return sent.map(({ rid }) => rid).sort();
    });
    await expect.poll(sizes, { timeout: 30_000 }).toEqual(['h', 'l', 'm']);
    // On a busy machine the browser makes all of them smaller.
    const video = tile.getByTestId('enhanced-video');
    await expect.poll(() => video.evaluate((element) => /** @type {HTMLVideoElement} */ (element).videoHeight), { timeout: 30_000 }).toBeGreaterThan(360);
    await expectFrames(video, 10);
  });
});
