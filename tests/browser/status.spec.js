// The status page: what a server does now, for those who look after it.

import { AxeBuilder } from '@axe-core/playwright';
import { expect, test } from './fixtures.js';

const TOKEN = '0123456789abcdef';
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

/** @param {import('@playwright/test').Page} page */
async function expectAccessible(page) {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
}

test('a call shows with its rates, its path and its pipelines, in the page and in the metrics', async ({ server, visit }) => {
  const status = await visit(`${server.url}/status`);
  await expect(status.getByTestId('health')).toHaveText('ready');
  await expect(status.getByTestId('jobs')).toHaveText('No job is at work.');
  const { id } = await server.startJob({ role: 'kiosk', room: 'front', description: 'kiosk-test', name: 'Front desk' });
  const job = status.locator(`[data-job="${id}"]`);
  await expect(job).toContainText('joined', { timeout: 20_000 });
  const person = await visit(server.room('front'));
  await expect(person.locator('.tile.live')).toHaveCount(1);

  const peer = job.getByTestId('peer');
  await expect(peer).toContainText('connected');
  await expect(peer).toContainText('direct', { timeout: 20_000 });
  await expect(peer).toContainText(/[1-5]\.\d of 5/, { timeout: 20_000 });
  // A test picture and sound go there, a small picture and sound come back.
  await expect(peer).toContainText(/↑ [1-9]\d{1,3}( of \d+)? ↓ [1-9]\d{1,3} kb\/s/, { timeout: 20_000 });
  await expect(status.getByTestId('rooms')).toContainText('sends sound and picture');

  await job.getByTestId('pipeline').click();
  const picture = status.getByAltText('The elements of this job');
  await expect.poll(() => picture.evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth)).toBeGreaterThan(100);
  await expect(job.getByTestId('pipeline'), 'a new state leaves the keyboard where it is').toBeFocused();
  await expectAccessible(status);

  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const value = (/** @type {string} */ name) => Number(metrics.match(new RegExp(`^attache_${name}{job="${id}",role="kiosk"} (\\S+)$`, 'm'))?.[1]);
  expect(value('peers')).toBe(1);
  expect(value('peer_sent_bits_per_second')).toBeGreaterThan(10_000);
  expect(value('peer_received_bits_per_second')).toBeGreaterThan(10_000);
  expect(value('peer_round_trip_seconds')).toBeLessThan(1);
  expect(value('peer_score')).toBeGreaterThan(1);

  await person.getByTestId('hangup').click();
  await expect(peer).toHaveCount(0);
  await expect(status.getByTestId('events')).toContainText('person left front');
});

test('a server that is gone is said so, and shown again when it is back', async ({ server, visit }) => {
  const page = await visit(`${server.url}/status`, { context: PHONE });
  await expect(page.getByTestId('health')).toHaveText('ready');
  await server.stop();
  await expect(page.getByTestId('trouble')).toBeVisible();
  await server.start();
  await expect(page.getByTestId('trouble')).toBeHidden({ timeout: 20_000 });
});

test.describe('with an API token', () => {
  test.use({ config: `[auth]\napi_token = "${TOKEN}"\n` });

  test('the state is shown to those who have it', async ({ server, visit }) => {
    const page = await visit(`${server.url}/status`, { context: PHONE });
    await page.getByTestId('api-token').fill('wrong');
    await page.keyboard.press('Enter');
    await expect(page.getByTestId('trouble')).toContainText('token');
    await expect(page.getByTestId('jobs')).toBeEmpty();
    await page.getByTestId('api-token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await expect(page.getByTestId('health')).toHaveText('ready');
    await expectAccessible(page);
    await page.reload();
    await expect(page.getByTestId('health')).toHaveText('ready');
  });
});
