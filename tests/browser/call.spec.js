// Two pages in a room: they see, hear and read each other.

import { expect, expectFrames, expectMovingPicture, expectSilence, expectSound, test, tileOf } from './fixtures.js';

/** @param {import('@playwright/test').Page} page @param {string} name @param {string} room */
async function start(page, name, room) {
  await page.getByTestId('name').fill(name);
  await page.getByTestId('room').fill(room);
  await page.getByTestId('start').click();
}

/** Ada starts a room, Ben opens its link. @param {Pick<import('./fixtures.js').Fixtures, 'server'|'visit'>} fixtures */
async function adaAndBen({ server, visit }) {
  const ada = await visit(server.url);
  await start(ada, 'Ada', 'studio');
  await expect(ada.getByTestId('alone')).toBeVisible();
  const ben = await visit(server.room('studio'));
  const benAtAda = ada.getByTestId('tile').first();
  const adaAtBen = tileOf(ben, 'Ada');
  await expect(benAtAda).toHaveClass(/live/);
  await expect(adaAtBen).toHaveClass(/live/);
  return { ada, ben, benAtAda, adaAtBen };
}

test('two people see and hear each other', async ({ server, visit }) => {
  const { ada, benAtAda, adaAtBen } = await adaAndBen({ server, visit });
  for (const tile of [benAtAda, adaAtBen]) {
    await expectMovingPicture(tile.getByTestId('tile-video'));
    await expectSound(tile.getByTestId('tile-video'));
  }
  expect(new URL(ada.url()).pathname).toBe('/r/studio');
  await expect(ada.getByTestId('count')).toHaveText('2 in this call');
  await expect(ada.getByTestId('alone')).toBeHidden();
});

for (const codec of ['VP8', 'H264']) {
  test(`two people can speak ${codec}`, async ({ server, visit }) => {
    await visit(server.room('studio'));
    const ben = await visit(server.room('studio'), { query: `?codec=${codec}` });
    await expectMovingPicture(ben.getByTestId('tile-video'));
    await expect(ben.getByTestId('quality')).toHaveAttribute('data-codec', codec);
  });
}

test('two machines that have hardware for VP9 speak it, and sound goes before the picture', async ({ server, visit }) => {
  const before = () => {
    const can = async (/** @type {any} */ { video }) => ({ supported: true, smooth: true, powerEfficient: video.contentType === 'video/vp9' });
    Object.assign(MediaCapabilities.prototype, { encodingInfo: can, decodingInfo: can });
    const set = RTCRtpSender.prototype.setParameters;
    /** @type {any[]} */
    const taken = [];
    Object.assign(window, { taken });
    RTCRtpSender.prototype.setParameters = async function (...parameters) {
      await set.apply(this, parameters);
      const { encodings, ...rest } = this.getParameters();
      taken.push({ priority: encodings[0].priority, gives: /** @type {any} */ (rest).degradationPreference });
    };
  };
  await visit(server.room('studio'), { before });
  const ben = await visit(server.room('studio'), { before });
  await expectMovingPicture(ben.getByTestId('tile-video'));
  await expect(ben.getByTestId('quality')).toHaveAttribute('data-codec', 'VP9');
  await expect.poll(() => ben.evaluate(() => /** @type {any} */ (window).taken)).toEqual(expect.arrayContaining([
    { priority: 'high', gives: undefined },
    { priority: 'low', gives: 'balanced' },
  ]));
});

test('the quality of the connection is told in numbers', async ({ server, visit }) => {
  const { ada, benAtAda } = await adaAndBen({ server, visit });
  const quality = benAtAda.getByTestId('quality');
  await expect(quality).toBeHidden();
  await ada.getByTestId('quality-toggle').click();
  await expect(quality).toBeVisible();
  await expect(quality).toHaveAttribute('data-path', 'direct');
  await expect(quality).toHaveAttribute('data-rtt', /^\d+$/);
  await expect(quality).toHaveAttribute('data-size', /^\d+×\d+$/);
  await expect.poll(async () => Number(await quality.getAttribute('data-received'))).toBeGreaterThan(30);
  await expect(quality).toContainText('Round trip');
});

test('chat goes both ways and says what is unread', async ({ server, visit }) => {
  const { ada, ben } = await adaAndBen({ server, visit });
  await ada.getByTestId('chat-toggle').click();
  await ada.getByTestId('chat-text').fill('<b>Hello</b> Ben');
  await ada.getByTestId('chat-send').click();
  await expect(ben.getByTestId('chat-unread')).toHaveText('1');
  await expect(ben.getByTestId('toasts')).toContainText('Ada: <b>Hello</b> Ben');
  await ben.getByTestId('chat-toggle').click();
  await expect(ben.getByTestId('chat-unread')).toBeHidden();
  await expect(ben.getByTestId('chat-message')).toContainText('<b>Hello</b> Ben');
  await ben.getByTestId('chat-text').fill('Hello Ada');
  await ben.keyboard.press('Enter');
  await expect(ada.getByTestId('chat-message').last()).toContainText('Hello Ada');
});

test('mute is shown and heard, and ends', async ({ server, visit }) => {
  const { ada, ben, adaAtBen } = await adaAndBen({ server, visit });
  const video = adaAtBen.getByTestId('tile-video');
  await expectSound(video);
  await ada.getByTestId('microphone').click();
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'false');
  await expect(adaAtBen.getByTestId('tile-muted')).toBeVisible();
  await expectSilence(video);
  await ada.getByTestId('microphone').click();
  await expect(adaAtBen.getByTestId('tile-muted')).toBeHidden();
  await expectSound(video);
  expect(await ben.getByTestId('tile').count()).toBe(1);
});

test('a camera that is off is let go and comes back', async ({ server, visit }) => {
  const { ada, adaAtBen } = await adaAndBen({ server, visit });
  await ada.getByTestId('camera').click();
  await expect(adaAtBen).toHaveAttribute('data-video', 'off');
  await expect(adaAtBen.locator('.avatar')).toHaveText('A');
  const tracks = () => ada.getByTestId('self-video').evaluate((element) => {
    const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (element).srcObject);
    return stream.getVideoTracks().length;
  });
  expect(await tracks()).toBe(0);
  await ada.getByTestId('camera').click();
  await expect(adaAtBen).toHaveAttribute('data-video', 'on');
  await expectMovingPicture(adaAtBen.getByTestId('tile-video'));
  expect(await tracks()).toBe(1);
});

test('hanging up takes the tile away there and the camera light here', async ({ server, visit }) => {
  const { ada, ben } = await adaAndBen({ server, visit });
  await ben.evaluate(() => {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector('[data-testid=self-video]'));
    Object.assign(window, { ownTracks: /** @type {MediaStream} */ (video.srcObject).getTracks() });
  });
  await ben.getByTestId('hangup').click();
  await expect(ben.getByTestId('ending')).toBeVisible();
  await expect(ben.getByRole('heading', { name: 'You left the call' })).toBeFocused();
  await expect(ada.getByTestId('tile')).toHaveCount(0);
  await expect(ada.getByTestId('toasts')).toContainText('left');
  const states = await ben.evaluate(() => Reflect.get(window, 'ownTracks').map((/** @type {MediaStreamTrack} */ track) => track.readyState));
  expect(states).toEqual(['ended', 'ended']);
  await ben.getByTestId('again').click();
  await expect(tileOf(ben, 'Ada')).toHaveClass(/live/);
});

test('whoever closes the window is gone at once', async ({ server, visit }) => {
  const { ada, ben } = await adaAndBen({ server, visit });
  await ben.close({ runBeforeUnload: false });
  await expect(ada.getByTestId('tile')).toHaveCount(0);
  await expect(ada.getByTestId('alone')).toBeVisible();
});

test('somebody who records is named, and has no tile', async ({ server, visit }) => {
  const ada = await visit(server.room('studio'));
  await expect(ada.getByTestId('alone')).toBeVisible();
  await expect(ada.getByTestId('recording')).toBeEmpty();
  const other = await visit(server.url);
  await other.evaluate(() => {
    const socket = new WebSocket(`ws://${location.host}/api/v1/signalling`);
    const join = { type: 'join', protocol: 1, room: 'studio', kind: 'recorder', name: 'Minutes', recording: true };
    socket.onopen = () => socket.send(JSON.stringify(join));
    Object.assign(window, { recorder: socket });
  });
  await expect(ada.getByTestId('recording')).toHaveText('Minutes is recording this call');
  await expect(ada.getByTestId('tile')).toHaveCount(0);
  await other.evaluate(() => Reflect.get(window, 'recorder').close());
  await expect(ada.getByTestId('recording')).toBeEmpty();
});

test('three people hear each other', async ({ server, visit }) => {
  const { ada, ben } = await adaAndBen({ server, visit });
  const cleo = await visit(server.room('studio'));
  for (const page of [ada, ben, cleo]) await expect(page.locator('.tile.live')).toHaveCount(2);
  await expectSound(cleo.getByTestId('tile-video').first());
  await expectSound(cleo.getByTestId('tile-video').last());
});

test.describe('with several devices', () => {
  test.use({ browserKind: { devices: 'many' } });

  test('another camera and microphone are taken without a new connection', async ({ server, visit }) => {
    const { ada, adaAtBen } = await adaAndBen({ server, visit });
    const video = adaAtBen.getByTestId('tile-video');
    const element = await video.elementHandle();
    await ada.getByTestId('settings-open').click();
    const settings = ada.getByTestId('settings');
    for (const [choice, kind] of /** @type {const} */ ([['camera-choice', 'Video'], ['microphone-choice', 'Audio']])) {
      const select = settings.getByTestId(choice);
      const other = await select.evaluate((list) => {
        const options = [.../** @type {HTMLSelectElement} */ (list).options];
        return options.at(-1)?.value ?? '';
      });
      await select.selectOption(other);
      await expect.poll(() => ada.getByTestId('self-video').evaluate((own, of) => {
        const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (own).srcObject);
        return (of === 'Video' ? stream.getVideoTracks() : stream.getAudioTracks())[0]?.getSettings().deviceId;
      }, kind)).toBe(other);
    }
    await expectFrames(video);
    await expectSound(video);
    expect(await video.evaluate((now, then) => now === then, element)).toBe(true);
  });
});
