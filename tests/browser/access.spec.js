// Keyboard, screen readers, phones, and the page's types.

import { AxeBuilder } from '@axe-core/playwright';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from './fixtures.js';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

/** @param {import('@playwright/test').Page} page */
async function expectAccessible(page) {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
}

test('every screen passes the accessibility rules', async ({ server, visit }) => {
  // Contrast is judged when nothing fades in any more.
  const context = { reducedMotion: /** @type {const} */ ('reduce') };
  const ada = await visit(server.url, { context });
  await expect(ada.getByTestId('preview-video')).toBeVisible();
  await expectAccessible(ada);
  await ada.getByTestId('room').fill('studio');
  await ada.getByTestId('start').click();
  await expect(ada.getByTestId('alone')).toBeVisible();
  await expectAccessible(ada);
  await visit(server.room('studio'), { context });
  await expect(ada.locator('.tile.live')).toHaveCount(1);
  await ada.getByTestId('quality-toggle').click();
  await ada.getByTestId('chat-toggle').click();
  await ada.getByTestId('chat-text').fill('Hello');
  await ada.keyboard.press('Enter');
  await expect(ada.getByTestId('chat-message')).toBeVisible();
  await expectAccessible(ada);
  await ada.getByTestId('settings-open').click();
  await expectAccessible(ada);
  await ada.keyboard.press('Escape');
  await ada.getByTestId('hangup').click();
  await expect(ada.getByTestId('ending')).toBeVisible();
  await expectAccessible(ada);
});

test('who mutes while the microphone still opens comes in muted', async ({ server, visit }) => {
  const before = () => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const asked = new Promise((resolve) => Object.assign(window, { letOpen: resolve }));
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      await asked;
      return open(constraints);
    };
  };
  const ada = await visit(server.room('studio'), { before });
  await expect(ada.getByTestId('alone')).toBeVisible();
  await ada.keyboard.press('m');
  await ada.evaluate('letOpen()');
  await expect(ada.getByTestId('camera')).toHaveAttribute('aria-pressed', 'true');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'false');
  await ada.keyboard.press('m');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');
});

test('a call needs no mouse', async ({ server, visit }) => {
  const ada = await visit(server.url);
  await ada.getByTestId('room').focus();
  await ada.keyboard.press('ControlOrMeta+a');
  await ada.keyboard.type('studio');
  await ada.keyboard.press('Enter');
  await expect(ada.getByTestId('alone')).toBeVisible();
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');

  await ada.keyboard.press('m');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'false');
  await ada.keyboard.press('m');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');
  await ada.keyboard.press('v');
  await expect(ada.getByTestId('camera')).toHaveAccessibleName('Turn camera on (V)');

  await ada.keyboard.press('c');
  await expect(ada.getByTestId('chat-text')).toBeFocused();
  await ada.keyboard.type('mv');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');
  await ada.keyboard.press('Enter');
  await expect(ada.getByTestId('chat-log')).toContainText('Nobody is here to read that yet');
  await ada.keyboard.press('Escape');
  await expect(ada.getByTestId('chat-toggle')).toBeFocused();
  const outline = await ada.getByTestId('chat-toggle').evaluate((element) => getComputedStyle(element).outlineStyle);
  expect(outline).toBe('solid');

  await ada.keyboard.press('s');
  await expect(ada.getByTestId('settings')).toBeVisible();
  await ada.getByTestId('shortcuts').focus();
  await ada.keyboard.press('Space');
  await ada.keyboard.press('Escape');
  await ada.keyboard.press('m');
  await expect(ada.getByTestId('microphone')).toHaveAttribute('aria-pressed', 'true');

  await ada.getByTestId('hangup').focus();
  await ada.keyboard.press('Enter');
  await expect(ada.getByTestId('ending')).toBeVisible();
});

test('who comes and goes is told to screen readers', async ({ server, visit }) => {
  const ada = await visit(server.room('studio'));
  await expect(ada.getByTestId('alone')).toBeVisible();
  await expect(ada.getByTestId('toasts')).toHaveAttribute('aria-live', 'polite');
  const ben = await visit(server.room('studio'));
  await expect(ada.getByTestId('toasts')).toContainText('joined');
  await ben.getByTestId('hangup').click();
  await expect(ada.getByTestId('toasts')).toContainText('left');
});

test('it fits a phone', async ({ server, visit }, info) => {
  const ada = await visit(server.url, { context: PHONE });
  await expect(ada.getByTestId('preview-video')).toBeVisible();
  await expect(ada.getByTestId('start')).toBeInViewport();
  await ada.screenshot({ path: info.outputPath('phone-lobby.png') });
  await ada.getByTestId('room').fill('studio');
  await ada.getByTestId('start').tap();
  await visit(server.room('studio'));
  await expect(ada.locator('.tile.live')).toHaveCount(1);
  for (const name of ['microphone', 'camera', 'chat-toggle', 'hangup', 'self']) {
    await expect(ada.getByTestId(name)).toBeInViewport({ ratio: 1 });
  }
  const wide = await ada.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  expect(wide).toBe(false);
  await ada.screenshot({ path: info.outputPath('phone-call.png') });
});

test('on a small phone nothing lies over what asks for the camera', async ({ server, visit }) => {
  const context = { ...PHONE, viewport: { width: 320, height: 568 }, permissions: [] };
  const ada = await visit(server.url, { context, granted: false });
  await expect(ada.getByTestId('allow')).toBeVisible();
  const box = async (/** @type {string} */ name) => {
    const found = await ada.getByTestId(name).boundingBox();
    if (!found) throw new Error(`${name} has no place`);
    return found;
  };
  const [frame, words, button, microphone] = [await box('preview'), await box('preview-words'), await box('allow'), await box('lobby-microphone')];
  expect(words.y).toBeGreaterThanOrEqual(frame.y);
  expect(button.y).toBeGreaterThanOrEqual(words.y + words.height);
  expect(microphone.y).toBeGreaterThanOrEqual(button.y + button.height);
  expect(frame.x + frame.width).toBeLessThanOrEqual(320);
});

test('tiles are as large as they fit', async ({ server, visit }) => {
  const page = await visit(server.url);
  const sizes = await page.evaluate(async () => {
    /** @type {typeof import('../../src/http/page/stage.js')} */
    const { fit } = await import(/* @vite-ignore */ String('/page/stage.js'));
    return [fit(1, 1000, 600, 10), fit(2, 1600, 450, 0), fit(2, 400, 800, 0), fit(4, 1600, 900, 0)];
  });
  expect(sizes).toEqual([
    { width: 1000, height: 600 },
    { width: 800, height: 450 },
    { width: 400, height: 400 },
    { width: 800, height: 450 },
  ]);
});

test('the types of the page and of these tests are right', () => {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  for (const project of ['page.tsconfig.json', 'tsconfig.json']) {
    execFileSync('npx', ['tsc', '--project', project], { cwd: folder, stdio: 'pipe', encoding: 'utf8' });
  }
});
