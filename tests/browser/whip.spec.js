// Players (WHEP) and publishers (WHIP) that know nothing of attache but a URL: Chromium's own PeerConnection.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, expectMovingPicture, expectSound, test as base, tileOf } from './fixtures.js';
import { Job } from './job.js';
import { Server } from './server.js';
import { roomToken } from './token.js';

/** @typedef {{kiosk: (room: string, name?: string) => Promise<Job>}} Kiosks starts a kiosk and waits until it has joined */

/** @type {import('@playwright/test').TestType<import('@playwright/test').PlaywrightTestArgs & import('./fixtures.js').Fixtures & Kiosks, {}>} */
const test = base.extend(/** @type {any} */ ({
  /** @param {import('./fixtures.js').Fixtures} fixtures @param {(start: Kiosks['kiosk']) => Promise<void>} use */
  kiosk: async ({ server }, use) => {
    /** @type {Job[]} */
    const jobs = [];
    await use(async (room, name = 'Front desk') => {
      const small = ['width=640', 'height=360', 'framerate=15', 'bitrate_kbps=600'].flatMap((value) => ['--set', value]);
      const job = new Job('kiosk', server.room(room), ['--description', 'kiosk-test', '--name', name, ...small]);
      jobs.push(job);
      await expect.poll(() => job.last('state')?.state, { timeout: 20_000 }).toBe('joined');
      return job;
    });
    for (const job of jobs) await job.stop();
  },
}));

/**
 * What a player or a publisher is, all of it.
 * @param {import('@playwright/test').Page} page @param {'recvonly'|'sendonly'} direction @param {string} endpoint @param {string} [token]
 * @returns {Promise<{status: number, location: string}>}
 */
function connect(page, direction, endpoint, token) {
  return page.evaluate(async ([way, url, bearer]) => {
    const connection = new RTCPeerConnection();
    const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, srcObject: new MediaStream() });
    if (way === 'sendonly') {
      const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      for (const track of camera.getTracks()) connection.addTransceiver(track, { direction: way, streams: [camera] });
    } else {
      for (const kind of ['audio', 'video']) connection.addTransceiver(kind, { direction: 'recvonly' });
      video.dataset.testid = 'player';
      // Where it is seen: a browser does not begin to play what nobody sees.
      video.style.cssText = 'position: fixed; top: 0; z-index: 9';
      document.body.append(video);
    }
    connection.ontrack = ({ track }) => /** @type {MediaStream} */ (video.srcObject).addTrack(track);
    await connection.setLocalDescription();
    /** @type {Record<string, string>} */
    const headers = { 'content-type': 'application/sdp' };
    if (bearer) headers.authorization = `Bearer ${bearer}`;
    const response = await fetch(url, { method: 'POST', headers, body: connection.localDescription?.sdp });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    const location = new URL(response.headers.get('location') ?? '', url).href;
    const tag = response.headers.get('etag') ?? '';
    connection.onicecandidate = ({ candidate }) => {
      const body = candidate ? `a=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n` : 'a=end-of-candidates\r\n';
      void fetch(location, { method: 'PATCH', headers: { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': tag }, body });
    };
    await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    Object.assign(window, { connection });
    return { status: response.status, location };
  }, /** @type {['recvonly'|'sendonly', string, string|undefined]} */ ([direction, endpoint, token]));
}

/** @param {import('@playwright/test').Page} page @param {string} endpoint @param {string} [token] */
const play = (page, endpoint, token) => connect(page, 'recvonly', endpoint, token);
/** @param {import('@playwright/test').Page} page @param {string} endpoint @param {string} [token] */
const publish = (page, endpoint, token) => connect(page, 'sendonly', endpoint, token);

/** @param {Server} server @param {string} room @returns {Promise<{id: string, kind: string}[]>} */
async function participants(server, room) {
  const { rooms } = await server.api('rooms');
  return rooms.find((/** @type {{name: string}} */ { name }) => name === room)?.participants ?? [];
}

/** An offer as a browser makes it. @param {import('@playwright/test').Page} page @param {RTCRtpTransceiverDirection} direction @returns {Promise<string>} */
function offer(page, direction) {
  return page.evaluate(async (way) => {
    const connection = new RTCPeerConnection();
    for (const kind of ['audio', 'video']) connection.addTransceiver(kind, { direction: way });
    const { sdp = '' } = await connection.createOffer();
    connection.close();
    return sdp;
  }, direction);
}

test('a player sees and hears the kiosk of a room, and the room sees that somebody watches', async ({ server, visit, kiosk }) => {
  await kiosk('front');
  const person = await visit(server.room('front'));
  await expectMovingPicture(tileOf(person, 'Front desk').getByTestId('tile-video'));

  const player = await visit(`${server.url}/status`);
  const { status, location } = await play(player, `${server.url}/whep/front`);
  expect(status).toBe(201);
  await expectMovingPicture(player.getByTestId('player'));
  await expectSound(player.getByTestId('player'));
  await expect(person.getByTestId('count')).toHaveText('2 in this call, 1 watching');
  await expect(person.getByTestId('tile')).toHaveCount(1);

  expect((await fetch(location, { method: 'DELETE' })).status).toBe(200);
  await expect(person.getByTestId('count')).toHaveText('2 in this call');
  expect((await fetch(location, { method: 'DELETE' })).status).toBe(404);
});

test('a player watches the person it names', async ({ server, visit }) => {
  const person = await visit(server.room('front'));
  await expect(person.getByTestId('alone')).toBeVisible();
  const [{ id }] = await participants(server, 'front');
  const player = await visit(`${server.url}/status`);
  await play(player, `${server.url}/whep/front/${id}`);
  await expectMovingPicture(player.getByTestId('player'));
  await expectSound(player.getByTestId('player'));
  await expect(person.getByTestId('count')).toHaveText('Only you, 1 watching');
});

test('who comes later does not call a player, and a kiosk that leaves ends its players\' sessions', async ({ server, visit, kiosk }) => {
  const first = await kiosk('front');
  const player = await visit(`${server.url}/status`);
  const { location } = await play(player, `${server.url}/whep/front`);
  await expectMovingPicture(player.getByTestId('player'));
  const second = await kiosk('front', 'Back desk');
  const person = await visit(server.room('front'));
  await expectMovingPicture(tileOf(person, 'Back desk').getByTestId('tile-video'));
  const viewer = (await participants(server, 'front')).find(({ kind }) => kind === 'viewer')?.id;
  expect(viewer).toBeTruthy();
  expect(second.events.filter(({ participant }) => participant === viewer), 'the second kiosk has nothing to do with the player').toEqual([]);

  await first.stop();
  await expect.poll(async () => (await participants(server, 'front')).map(({ kind }) => kind)).not.toContain('viewer');
  const late = await fetch(location, { method: 'PATCH', headers: { 'content-type': 'application/trickle-ice-sdpfrag' }, body: 'a=end-of-candidates\r\n' });
  expect(late.status).toBe(404);
});

test('what cannot be done is refused in words', async ({ server, visit, kiosk }) => {
  await kiosk('front');
  const page = await visit(`${server.url}/status`);
  const receive = await offer(page, 'recvonly');
  /** @param {string} path @param {string} body @param {string} [type] */
  const post = async (path, body, type = 'application/sdp') => {
    const response = await fetch(`${server.url}/whep/${path}`, { method: 'POST', headers: { 'content-type': type }, body });
    return { status: response.status, message: (await response.json()).error?.message };
  };
  const unknown = receive.replaceAll(/a=(rtpmap|fmtp|rtcp-fb):.*\r\n/g, '');
  const cases = [
    { case: await post('empty', receive), status: 404, says: 'nobody in the room empty sends' },
    { case: await post('front/nobody', receive), status: 404, says: 'has the id nobody' },
    { case: await post('front', receive, 'text/plain'), status: 415, says: 'application/sdp is needed' },
    { case: await post('front', 'hello'), status: 400, says: 'no session description' },
    { case: await post('front', await offer(page, 'sendrecv')), status: 400, says: 'recvonly' },
    { case: await post('.front', receive), status: 400, says: 'room name' },
    { case: await post('front', unknown), status: 422, says: 'no codec in common' },
  ];
  for (const { case: found, status, says } of cases) {
    expect(found.status, says).toBe(status);
    expect(found.message).toContain(says);
  }
  expect(await participants(server, 'front'), 'nobody was left behind').toHaveLength(1);

  const { location } = await play(page, `${server.url}/whep/front`);
  /** @param {string} body @param {Record<string, string>} headers */
  const trickle = async (body, headers = {}) => {
    const type = { 'content-type': 'application/trickle-ice-sdpfrag' };
    return (await fetch(location, { method: 'PATCH', headers: { ...type, ...headers }, body })).status;
  };
  expect(await trickle('a=end-of-candidates\r\n')).toBe(204);
  expect(await trickle('a=end-of-candidates\r\n', { 'if-match': '"another"' })).toBe(412);
  expect(await trickle('a=ice-ufrag:other\r\na=ice-pwd:another\r\n')).toBe(422);
  expect(await trickle('a=end-of-candidates\r\n', { 'content-type': 'text/plain' })).toBe(415);
  await expectMovingPicture(page.getByTestId('player'));
});

test('a player on another site\'s page plays where that site is allowed, with a token', async ({ people }) => {
  const site = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html>')).listen(0, '127.0.0.1');
  await once(site, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (site.address());
  const key = 'a key that signs the tokens of rooms';
  const config = `[server]\norigins = ["http://127.0.0.1:${port}"]\n[auth]\nroom_key = "${key}"\napi_token = "a token for the API"\n`
    + '[[kiosk]]\nroom = "front"\ndescription = "kiosk-test"\n';
  const server = new Server(config);
  await server.start();
  try {
    const page = await people.newPage();
    await page.goto(`http://127.0.0.1:${port}`);
    const without = play(page, `${server.url}/whep/front`).catch(({ message }) => message);
    expect(await without).toContain('401');
    const endpoint = `${server.url}/whep/front`;
    await expect(async () => {
      await play(page, endpoint, roomToken(key, { room: 'front', sub: 'wall', allow: ['join'] }));
    }).toPass({ timeout: 20_000 });
    await expectMovingPicture(page.getByTestId('player').last());

    const preflight = { method: 'OPTIONS', headers: { origin: 'http://elsewhere.example', 'access-control-request-method': 'POST' } };
    expect((await fetch(endpoint, preflight)).status, 'other sites stay out').toBe(403);
    const asked = await fetch(endpoint, { method: 'OPTIONS' });
    expect(asked.headers.get('accept-post')).toBe('application/sdp');
  } finally {
    await server.dispose();
    site.close();
  }
});

test('what a publisher sends is seen and heard by people and players, until it ends', async ({ server, visit }) => {
  const person = await visit(server.room('stage'));
  const publisher = await visit(`${server.url}/status`);
  const { status, location } = await publish(publisher, `${server.url}/whip/stage`);
  expect(status).toBe(201);
  const tile = tileOf(person, 'Publisher').getByTestId('tile-video');
  await expectMovingPicture(tile);
  await expectSound(tile);

  // One who comes later, and a player, get it likewise.
  const late = await visit(server.room('stage'));
  await expectMovingPicture(tileOf(late, 'Publisher').getByTestId('tile-video'));
  const relay = (await participants(server, 'stage')).find(({ kind }) => kind === 'relay');
  const player = await visit(`${server.url}/status`);
  await play(player, `${server.url}/whep/stage/${relay?.id}`);
  await expectMovingPicture(player.getByTestId('player'));
  await expectSound(player.getByTestId('player'));

  expect((await fetch(location, { method: 'DELETE' })).status).toBe(200);
  await expect(tileOf(person, 'Publisher')).toHaveCount(0);
  expect((await fetch(location, { method: 'DELETE' })).status).toBe(404);
  await expect.poll(async () => (await server.api('jobs')).jobs.map((/** @type {{state: string}} */ { state }) => state)).toEqual(['stopped']);
});

test('a publisher that closes its connection without a word to the server leaves the room at once', async ({ server, visit }) => {
  const publisher = await visit(`${server.url}/status`);
  const { location } = await publish(publisher, `${server.url}/whip/stage`);
  await expect.poll(async () => (await participants(server, 'stage')).map(({ kind }) => kind)).toEqual(['relay']);
  // One that never connects is waited for much longer.
  await expect.poll(() => publisher.evaluate(() => /** @type {any} */ (window).connection.connectionState)).toBe('connected');
  const closed = Date.now();
  await publisher.evaluate(() => /** @type {any} */ (window).connection.close());
  await expect.poll(async () => participants(server, 'stage'), { timeout: 30_000 }).toEqual([]);
  // Of one that only falls silent that is thought after ten seconds.
  expect(Date.now() - closed, 'milliseconds until it has left').toBeLessThan(8000);
  const late = { method: 'PATCH', headers: { 'content-type': 'application/trickle-ice-sdpfrag' }, body: 'a=end-of-candidates\r\n' };
  await expect.poll(async () => (await fetch(location, late)).status, { message: 'the session has ended' }).toBe(404);
});

/**
 * A server that takes what is published to it by WHIP, all of it: the page's own PeerConnection is its media side.
 * @param {import('@playwright/test').Page} page @param {string} token that it asks for
 * @returns {Promise<{url: string, seen: string[], close: () => void}>} `seen`: the requests, in their order
 */
async function takingServer(page, token) {
  /** @type {string[]} */
  const seen = [];
  const server = createServer(async (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end();
    if (request.method === 'DELETE') return response.end();
    let offer = '';
    for await (const chunk of request) offer += chunk;
    const answer = await page.evaluate(async (sdp) => {
      const connection = new RTCPeerConnection();
      const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, srcObject: new MediaStream() });
      video.dataset.testid = 'player';
      video.style.cssText = 'position: fixed; top: 0; z-index: 9';
      document.body.append(video);
      connection.ontrack = ({ track }) => /** @type {MediaStream} */ (video.srcObject).addTrack(track);
      await connection.setRemoteDescription({ type: 'offer', sdp });
      await connection.setLocalDescription(await connection.createAnswer());
      while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', resolve, { once: true }));
      return connection.localDescription?.sdp;
    }, offer);
    return response.writeHead(201, { 'content-type': 'application/sdp', location: '/session/1', link: '<stun:127.0.0.1:9>; rel="ice-server"' }).end(answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, seen, close: () => server.close() };
}

test('a kiosk is published at a server of another make, which is told goodbye', async ({ server, visit, kiosk }) => {
  await kiosk('front');
  const page = await visit(`${server.url}/status`);
  const there = await takingServer(page, 'a token');
  const relay = new Job('relay', server.room('front'), ['--to', `${there.url}/live`], [], { ATTACHE_REMOTE_TOKEN: 'a token' });
  try {
    await expectMovingPicture(page.getByTestId('player'));
    await expectSound(page.getByTestId('player'));
    expect(relay.last('notice', ({ message }) => message.includes('Front desk is published at'))?.message).toContain('Opus, VP8');
  } finally {
    await relay.stop();
    there.close();
  }
  expect(there.seen).toEqual(['POST /live', 'DELETE /session/1']);
});

test.describe('with guests', () => {
  const key = 'a key that signs the tokens of rooms';
  test.use({ config: `[auth]\nroom_key = "${key}"\napi_token = "a token for the API"\n[rooms]\nguests = ["*"]\n` });

  test('who may not publish is told why, and no relay is left', async ({ server, visit }) => {
    const page = await visit(`${server.url}/status`);
    const endpoint = `${server.url}/whip/stage`;
    const offers = { send: await offer(page, 'sendonly'), receive: await offer(page, 'recvonly') };
    /** @param {string} body @param {string[]} [allow] */
    const post = async (body, allow) => {
      /** @type {Record<string, string>} */
      const headers = { 'content-type': 'application/sdp' };
      if (allow) headers.authorization = `Bearer ${roomToken(key, { room: 'stage', sub: 'ada', allow })}`;
      const response = await fetch(endpoint, { method: 'POST', headers, body });
      return `${response.status} ${(await response.json()).error?.message}`;
    };
    expect(await post(offers.send)).toMatch(/^401 .*guests may not/);
    expect(await post(offers.send, ['join'])).toMatch(/^403 .*to send/);
    expect(await post(offers.receive, ['join', 'send'])).toMatch(/^400 .*sends nothing/);
    const unknown = offers.send.replaceAll(/a=(rtpmap|fmtp|rtcp-fb):.*\r\n/g, '');
    expect(await post(unknown, ['join', 'send'])).toMatch(/^422 .*no codec/);
    const headers = { authorization: 'Bearer a token for the API' };
    await expect.poll(async () => {
      const { jobs } = await server.api('jobs', { headers });
      return jobs.map((/** @type {{state: string}} */ { state }) => state);
    }).toEqual(['stopped']);
  });
});
