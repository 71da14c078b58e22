// What goes wrong is said in words, with a way on.

import { expectNoLongFreeze, watchFreezes } from './freezes.js';
import { expect, expectFrames, expectMovingPicture, frames, test, tileOf } from './fixtures.js';
import { roomToken } from './token.js';

test.describe('when the camera is refused', () => {
  test.use({ browserKind: { allowed: false } });

  test('the page says so and joins without', async ({ server, visit }) => {
    const ada = await visit(server.url, { granted: false });
    await ada.getByTestId('name').fill('Ada');
    await ada.getByTestId('room').fill('studio');
    await expect(ada.getByTestId('preview-words')).toContainText('Your browser will ask');
    await ada.getByTestId('start').click();
    await expect(ada.getByTestId('problem')).toContainText('Your camera and microphone are blocked');
    await expect(ada.getByTestId('problem-retry')).toBeVisible();
    await expect(ada.getByTestId('start')).toHaveText('Start without camera and microphone');
    await ada.getByTestId('start').click();
    await expect(ada.getByTestId('alone')).toBeVisible();

    const ben = await visit(server.room('studio'));
    const adaAtBen = tileOf(ben, 'Ada');
    await expect(adaAtBen).toHaveAttribute('data-video', 'off');
    await expect(adaAtBen.getByTestId('tile-muted')).toBeVisible();
    await expect(adaAtBen.getByTestId('tile-state')).toBeEmpty();
    await expectMovingPicture(ada.getByTestId('tile-video'));
  });

  test('an invited guest is told why the browser asks, with one button', async ({ server, visit }) => {
    const ada = await visit(server.room('studio'), { granted: false });
    await expect(ada.getByRole('heading', { name: 'Join studio' })).toBeVisible();
    await expect(ada.getByTestId('preview-words')).toContainText('so that others can see and hear you');
    await expect(ada.getByTestId('allow')).toBeHidden();
    await expect(ada.getByTestId('start')).toHaveText('Join');
  });
});

test('without any device the page says so and joins to watch', async ({ server, visit }) => {
  const ben = await visit(server.room('studio'));
  await expect(ben.getByTestId('alone')).toBeVisible();
  const ada = await visit(server.url, { before: refuse('NotFoundError') });
  await expect(ada.getByTestId('problem')).toContainText('No camera and microphone found');
  await ada.getByTestId('room').fill('studio');
  await ada.getByTestId('start').click();
  await expectMovingPicture(ada.getByTestId('tile-video'));
});

test('a device in use is named as such, and can be tried again', async ({ server, visit }) => {
  const ada = await visit(server.url, { before: refuse('NotReadableError') });
  await expect(ada.getByTestId('problem')).toContainText('Your camera and microphone are in use');
  await ada.evaluate(() => Reflect.get(window, 'giveBack')());
  await ada.getByTestId('problem-retry').click();
  await expect(ada.getByTestId('problem')).toBeHidden();
  await expect(ada.getByTestId('preview-video')).toBeVisible();
  await expect.poll(() => frames(ada.getByTestId('preview-video'))).toBeGreaterThan(3);
});

test('a page one of whose modules did not come begins anew', async ({ server, people }) => {
  const page = await people.newPage();
  const broken = '**/page/dom.js';
  await page.route(broken, (route) => route.abort('internetdisconnected'));
  const asked = page.waitForEvent('requestfailed');
  await page.goto(server.url);
  await asked;
  await expect(page.getByTestId('lobby')).toBeHidden();
  await page.unroute(broken);
  await expect(page.getByTestId('lobby')).toBeVisible();
  await page.close();
});

/** Lets getUserMedia fail until `giveBack()`: no machine can be asked to have no camera. @param {string} name */
function refuse(name) {
  return /** @type {() => void} */ (new Function(`
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('as the test wants', '${name}'));
    window.giveBack = () => { navigator.mediaDevices.getUserMedia = real; };`));
}

test.describe('when the room is full', () => {
  test.use({ config: '[rooms]\nmax_participants = 2' });

  test('the page says so and lets one try again', async ({ server, visit }) => {
    const ben = await visit(server.room('studio'));
    await visit(server.room('studio'));
    await expect(ben.locator('.tile.live')).toHaveCount(1);
    const ada = await visit(server.room('studio'));
    await expect(ada.getByRole('heading', { name: 'The room is full' })).toBeFocused();
    await ben.getByTestId('hangup').click();
    await ada.getByTestId('again').click();
    await expect(ada.locator('.tile.live')).toHaveCount(1);
  });
});

test.describe('where rooms want a token', () => {
  const key = 'a key of the tests, long enough to sign with';
  test.use({ config: `[auth]\nroom_key = "${key}"` });

  test('nobody gets in without an invitation', async ({ server, visit }) => {
    const ada = await visit(server.room('studio'));
    await expect(ada.getByRole('heading', { name: 'You need an invitation' })).toBeFocused();
    await expect(ada.getByTestId('ending-words')).toContainText('“studio”');
    await ada.getByTestId('home').click();
    await expect(ada.getByTestId('lobby')).toBeVisible();
  });

  test('an invitation for another room does not open this one', async ({ server, visit }) => {
    const token = roomToken(key, { room: 'kitchen', sub: 'ada', allow: ['join', 'send'] });
    const ada = await visit(server.room('studio'), { fragment: `#token=${token}` });
    await expect(ada.getByTestId('ending')).toBeVisible();
  });

  test('an invitation to watch shows the others and sends nothing', async ({ server, visit }) => {
    const all = roomToken(key, { room: 'studio', sub: 'Ada', allow: ['join', 'send'] });
    const watch = roomToken(key, { room: 'studio', sub: 'Ben', allow: ['join'] });
    const ada = await visit(server.room('studio'), { query: `?token=${all}` });
    await expect(ada).toHaveURL(/\/r\/studio#token=/);
    const ben = await visit(server.room('studio'), { fragment: `#token=${watch}` });
    await expectMovingPicture(tileOf(ben, 'Ada').getByTestId('tile-video'));
    await expect(ben.getByTestId('toasts')).toContainText('Your invitation is for watching');
    await expect(ben.getByTestId('camera')).toBeDisabled();
    await expect(tileOf(ada, 'Ben')).toHaveAttribute('data-video', 'off');
    await expect(tileOf(ada, 'Ben').getByTestId('tile-state')).toBeEmpty();
  });
});

test('a lost server interrupts nobody, and all are who they were when it is back', async ({ server, visit }) => {
  const ada = await visit(server.room('studio'));
  const ben = await visit(server.room('studio'));
  for (const page of [ada, ben]) {
    await expect(page.locator('.tile.live')).toHaveCount(1);
    await watchFreezes(page.getByTestId('tile-video'));
  }
  await server.kill();
  for (const page of [ada, ben]) {
    await expect(page.getByTestId('banner')).toContainText('Your call goes on');
    await expectFrames(page.getByTestId('tile-video'), 30);
  }
  const before = await ada.getByTestId('tile').getAttribute('data-participant');
  await server.start();
  for (const page of [ada, ben]) await expect(page.getByTestId('banner')).toBeHidden({ timeout: 30_000 });
  await expect.poll(async () => (await server.api('rooms')).rooms[0]?.participants.length, { timeout: 30_000 }).toBe(2);
  await expect(ada.getByTestId('tile')).toHaveAttribute('data-participant', String(before));
  for (const page of [ada, ben]) {
    // The same PeerConnection: nothing was prepared to take over, and the picture never stood still.
    await expect(page.getByTestId('incoming-tile-video')).toHaveCount(0);
    await expect(page.getByTestId('tile')).toHaveCount(1);
    await expectMovingPicture(page.getByTestId('tile-video'));
    await expectNoLongFreeze(page.getByTestId('tile-video'));
  }
  await ada.getByTestId('chat-toggle').click();
  await ada.getByTestId('chat-text').fill('still here');
  await ada.keyboard.press('Enter');
  await expect(ben.getByTestId('chat-unread')).toHaveText('1');
});

test('a killed server finds its kiosk in the call with the page, and nobody sees a pause', async ({ server, visit }) => {
  await server.startJob({ role: 'kiosk', room: 'studio', description: 'kiosk-test' });
  const ada = await visit(server.room('studio'));
  const video = ada.getByTestId('tile-video');
  await expectMovingPicture(video);
  await watchFreezes(video);
  const before = await server.api('jobs');
  await server.kill();
  await expectFrames(video, 30);
  await server.start();
  const states = async () => (await server.api('jobs')).jobs.map((/** @type {any} */ job) => job.state);
  await expect.poll(states, { timeout: 30_000 }).toEqual(['joined']);
  await expect.poll(async () => (await server.api('rooms')).rooms[0]?.participants.length, { timeout: 30_000 }).toBe(2);
  const after = await server.api('jobs');
  expect(after.jobs[0].pid).toBe(before.jobs[0].pid);
  expect(after.jobs[0].participant).toBe(before.jobs[0].participant);
  await expect(ada.getByTestId('incoming-tile-video')).toHaveCount(0);
  await expectFrames(video, 30);
  await expectNoLongFreeze(video);
});

test('a server that stops in order interrupts nobody either', async ({ server, visit }) => {
  const ada = await visit(server.room('studio'));
  const ben = await visit(server.room('studio'));
  for (const page of [ada, ben]) await expect(page.locator('.tile.live')).toHaveCount(1);
  await server.stop();
  await expect(ada.getByTestId('banner')).toContainText('Your call goes on');
  await expectFrames(ada.getByTestId('tile-video'), 30);
  await server.start();
  await expect(ada.getByTestId('banner')).toBeHidden({ timeout: 30_000 });
});

test('a server that does not answer is waited for', async ({ server, visit }) => {
  const ada = await visit(server.url);
  await server.kill();
  await ada.getByTestId('room').fill('studio');
  await ada.getByTestId('start').click();
  await expect(ada.getByTestId('banner')).toContainText('The server does not answer');
  await server.start();
  await expect(ada.getByTestId('alone')).toBeVisible({ timeout: 30_000 });
  await expect(ada.getByTestId('banner')).toBeHidden();
});
