// By way of a filter: how much later a voice is heard than without, and whether the lips stay with it.

import { setTimeout as pause } from 'node:timers/promises';

import { lagOf, offsets, record } from '../tests/browser/sync.js';
import { Attache } from './attache.mjs';
import { firstPicture, launch, openLobby } from './browser.mjs';
import { cost } from './processes.mjs';
import { spread } from './report.mjs';

const SETTLE_MS = 5000;
/** Until the page has measured how late the filter is and has the picture wait for it. */
const ALIGN_MS = 25_000;
const SECONDS = 30;
const COST_SECONDS = 15;
/** Each lag is of so many milliseconds of speech; one begins every second. */
const WINDOW_MS = 3000;
const MOST_LAG_MS = 400;
const PICTURE = { width: 640, height: 360, framerate: 30, pattern: 'black' };

/** Runs in a page before its own code: nothing is held back, whatever the page wants. */
function holdNothing() {
  Object.defineProperty(RTCRtpReceiver.prototype, 'jitterBufferTarget', { get: () => 0, set() {} });
}

/** By how many milliseconds the filter's sound is late, window by window. */
function lags({ original, enhanced }) {
  const starts = Array.from({ length: Math.floor((original.length - WINDOW_MS) / 1000) }, (_, second) => second * 1000);
  return starts.map((at) => lagOf(original.slice(at, at + WINDOW_MS), enhanced.slice(at, at + WINDOW_MS), MOST_LAG_MS));
}

async function enter(page, name) {
  await page.getByTestId('name').fill(name);
  await page.getByTestId('room').fill('hop');
  await page.getByTestId('start').click();
}

/** What the page of somebody who listens plays of somebody who speaks by way of a filter. */
async function listenToPerson() {
  const attache = await Attache.begin('[rooms]\nfilters = true\n');
  const browser = await launch({ picture: 'small.mjpeg' });
  try {
    const speaker = await openLobby(browser, attache.url);
    await enter(speaker, 'Speaker');
    const listener = await openLobby(browser, attache.url, { sends: false, before: holdNothing });
    await enter(listener, 'Listener');
    await listener.waitForSelector('[data-testid=tile].live');
    await speaker.keyboard.press('n');
    return await heard(listener, SETTLE_MS);
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

/** Has a page listen to a kiosk by way of a filter with these parameters, and looks. */
async function withKiosk(parameters, look) {
  const attache = await Attache.begin();
  const browser = await launch();
  try {
    const { participant } = await attache.attend({ role: 'kiosk', room: 'hop', description: 'kiosk-test', parameters: PICTURE });
    const listener = await openLobby(browser, attache.url, { sends: false });
    await enter(listener, 'Listener');
    await firstPicture(listener);
    const { id } = await attache.attend({ role: 'filter', room: 'hop', of: participant, parameters });
    return await look({ attache, listener, id });
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

/** The same of a kiosk that flashes and beeps; at strength 0 a beep comes out as it came in, and as late as a voice. */
const listenToKiosk = () => withKiosk({ strength: 0 }, ({ listener }) => heard(listener, ALIGN_MS));

/** What a filter takes with one who listens: a peer to whom it is for, and one to the page. */
const costOf = (engine) => withKiosk({ engine }, async ({ attache, id }) => {
  const { pid } = await attache.peers(id, 2);
  await pause(SETTLE_MS);
  return cost(pid, COST_SECONDS);
});

async function heard(listener, settle) {
  await listener.waitForSelector('[data-testid=tile][data-sound=enhanced]');
  await pause(settle);
  return record(listener.getByTestId('tile'), SECONDS);
}

export async function measureHop() {
  const voice = lags(await listenToPerson());
  const kiosk = await listenToKiosk();
  const [original, enhanced] = [kiosk.original, kiosk.enhanced].map((loudness) => offsets(loudness, kiosk.flashes));
  return {
    seconds: SECONDS,
    lags: voice.length,
    added_ms: spread(voice),
    beeps: enhanced.length,
    original_after_picture_ms: spread(original),
    filtered_after_picture_ms: spread(enhanced),
    rnnoise: await costOf('rnnoise'),
    nsnet2: await costOf('nsnet2'),
  };
}
