// Takes docs/images/call.png: a real call of two people, a kiosk and a recorder, in Chromium.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Attache } from '../benches/attache.mjs';
import { launch } from '../benches/browser.mjs';

const OUT = fileURLToPath(new URL('../docs/images/call.png', import.meta.url));
const MEDIA = fileURLToPath(new URL('../tests/browser/media/', import.meta.url));
const SIZE = { width: 1280, height: 800 };
/** Instead of cameras: colours that move, as an .mjpeg for Chromium. */
const CAMERAS = {
  Ada: 'gradients=size=960x540:rate=15:duration=5:speed=0.02:c0=0x1b4965:c1=0x5fa8d3:c2=0xcae9ff:seed=7',
  Mika: 'gradients=size=960x540:rate=15:duration=5:speed=0.02:c0=0x6d2e46:c1=0xd5a021:c2=0xa26769:seed=3',
};

/** Makes what somebody's camera sees; the name of its file in the tests' media. */
function camera(name) {
  const picture = `${name.toLowerCase()}.mjpeg`;
  execFileSync('ffmpeg', ['-y', '-loglevel', 'error', '-f', 'lavfi', '-i', CAMERAS[name], '-q:v', '4', '-pix_fmt', 'yuvj420p', MEDIA + picture]);
  return picture;
}

async function joinCall(attache, browser, name) {
  const context = await browser.newContext({ permissions: ['camera', 'microphone'], viewport: SIZE });
  const page = await context.newPage();
  await page.addInitScript((own) => localStorage.setItem('attache.name', own), name);
  await page.goto(attache.room('lobby'));
  // A sign of life, so that the browser plays sound.
  await page.keyboard.press('Shift');
  return page;
}

const attache = await Attache.begin();
const browsers = [];
try {
  await attache.attend({ role: 'kiosk', room: 'lobby', description: 'kiosk-test', name: 'Front desk', parameters: { flash: false } });
  const pages = [];
  for (const name of Object.keys(CAMERAS)) {
    const browser = await launch({ picture: camera(name) });
    browsers.push(browser);
    pages.push(await joinCall(attache, browser, name));
  }
  await attache.attend({ role: 'recorder', room: 'lobby' });
  const [page] = pages;
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=tile].live').length === 2);
  // Chromium starts small and grows with its estimate of the way: take the picture when it is sharp.
  await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=tile-video]')].every((video) => video.videoWidth >= 640), null, { timeout: 60_000 });
  await page.waitForFunction(() => document.querySelector('[data-testid=recording]').textContent !== '');
  await page.waitForFunction(() => document.querySelector('[data-testid=toasts]').childElementCount === 0);
  mkdirSync(new URL('../docs/images', import.meta.url), { recursive: true });
  await page.screenshot({ path: OUT });
  console.log(`wrote ${OUT}`);
} finally {
  for (const browser of browsers) await browser.close();
  await attache.dispose();
}
