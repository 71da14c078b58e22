// Who does not want to be recorded is not, whenever that is said; the others see it.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test, tileOf } from './fixtures.js';
import { Job } from './job.js';

/** The recording's manifest. @param {string} out */
function manifest(out) {
  const [folder] = readdirSync(out);
  return JSON.parse(readFileSync(join(out, folder, 'recording.json'), 'utf8'));
}

/** Pictures or sound of this participant that the recorder has written so far. @param {Job} recorder @param {string} id */
function written(recorder, id) {
  const of = recorder.events.filter(({ event, participant }) => event === 'recording' && participant === id);
  return of.reduce((most, { duration_ms }) => Math.max(most, duration_ms), 0);
}

test('a person who does not want to be recorded is left out, until she says otherwise', async ({ server, visit }) => {
  test.slow();
  const out = join(server.folder, 'out');
  const recorder = new Job('record', server.room('studio'), ['--out', out, '--name', 'Minutes']);
  await expect.poll(() => recorder.last('state')?.state, { timeout: 20_000 }).toBe('joined');

  const ada = await visit(server.url);
  await ada.getByTestId('name').fill('Ada');
  await ada.getByTestId('room').fill('studio');
  await ada.getByLabel('Do not record me').first().check();
  await ada.getByTestId('start').click();
  await expect(ada.getByTestId('recording')).toHaveText('Minutes is recording this call, without you');
  await expect(ada.getByTestId('not-recorded')).toHaveAttribute('aria-pressed', 'true');

  const ben = await visit(server.room('studio'));
  const tile = tileOf(ben, 'Ada');
  await expect(tile).toHaveClass(/live/, { timeout: 30_000 });
  await expect(tile.getByRole('img', { name: 'does not want to be recorded' })).toBeVisible();
  await expect(ben.getByTestId('recording')).toHaveText('Minutes is recording this call');
  const adaId = String(await tile.getAttribute('data-participant'));
  const benId = String(await ada.getByTestId('tile').getAttribute('data-participant'));
  await expect.poll(() => written(recorder, benId), { message: 'Ben is recorded', timeout: 30_000 }).toBeGreaterThan(2000);
  expect(recorder.events.filter(({ participant }) => participant === adaId), 'nothing of Ada').toEqual([]);

  await ada.keyboard.press('r');
  await expect(ada.getByTestId('recording')).toHaveText('Minutes is recording this call');
  await expect(tile.getByTestId('tile-not-recorded')).toBeHidden();
  await expect.poll(() => written(recorder, adaId), { message: 'Ada is recorded', timeout: 30_000 }).toBeGreaterThan(2000);

  await ada.getByTestId('not-recorded').click();
  await expect(tile.getByTestId('tile-not-recorded')).toBeVisible();
  const finished = () => recorder.events.some(({ event, participant, finished }) => event === 'recording' && participant === adaId && finished);
  await expect.poll(finished, { message: "Ada's file is finished", timeout: 20_000 }).toBe(true);
  const [ofAda, ofBen] = [written(recorder, adaId), written(recorder, benId)];
  await expect.poll(() => written(recorder, benId), { message: 'Ben is recorded on', timeout: 30_000 }).toBeGreaterThan(ofBen + 3000);
  expect(written(recorder, adaId), 'nothing more of Ada').toBe(ofAda);

  expect(await recorder.stop()).toBe(0);
  const visits = manifest(out).visits.filter((/** @type {{participant: string}} */ { participant }) => participant === adaId);
  expect(visits.map((/** @type {{ended: string}} */ { ended }) => ended)).toEqual(['forbidden']);
  // Browsers tell how loud they are; both hear the same speech.
  const spans = manifest(out).speakers;
  const of = (/** @type {string} */ id) => spans.filter((/** @type {{participant: string}} */ { participant }) => participant === id);
  expect(of(benId).length, 'Ben speaks').toBeGreaterThan(0);
  for (const { from, to } of of(adaId)) {
    expect(from >= visits[0].arrived && to <= visits[0].left, 'Ada speaks while she is recorded').toBe(true);
  }
});

test('a person who forbids it before the recorder comes is not called by it', async ({ server, visit }) => {
  const out = join(server.folder, 'out');
  const ada = await visit(server.room('studio'));
  await expect(ada.getByTestId('alone')).toBeVisible();
  await ada.keyboard.press('r');
  await expect(ada.getByTestId('toasts')).toContainText('Recorders leave you out');
  const ben = await visit(server.room('studio'));
  await expect(ben.locator('.tile.live')).toHaveCount(1, { timeout: 30_000 });
  const benId = String(await ada.getByTestId('tile').getAttribute('data-participant'));
  const recorder = new Job('record', server.room('studio'), ['--out', out, '--name', 'Minutes']);
  await expect.poll(() => written(recorder, benId), { message: 'Ben is recorded', timeout: 40_000 }).toBeGreaterThan(1000);
  expect(new Set(recorder.events.map(({ participant }) => participant).filter((id) => id && id !== recorder.last('state', ({ state }) => state === 'joined')?.participant))).toEqual(new Set([benId]));
  expect(await recorder.stop()).toBe(0);
});

test('the choice is kept, and lobby and call with it pass the accessibility checks', async ({ server, visit }) => {
  const ada = await visit(server.url, { context: { reducedMotion: 'reduce' } });
  const choice = ada.getByTestId('lobby-not-recorded');
  await choice.focus();
  await ada.keyboard.press('Space');
  await expect(choice).toBeChecked();
  await ada.reload();
  await expect(choice).toBeChecked();
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
  const rules = () => new AxeBuilder({ page: ada }).withTags(tags).analyze().then(({ violations }) => violations.map(({ id }) => id));
  expect(await rules()).toEqual([]);
  await ada.getByTestId('start').click();
  await expect(ada.getByTestId('not-recorded')).toBeVisible();
  expect(await rules()).toEqual([]);
  await ada.getByTestId('settings-open').click();
  await expect(ada.getByTestId('call-not-recorded')).toBeChecked();
});
