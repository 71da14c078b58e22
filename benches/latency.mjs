// From the moment a kiosk makes a picture to the moment the page is given it, by the time code in the picture.

import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { spread } from './report.mjs';

const SETTLE_MS = 5000;
const FRAMES = 600;
const SIZE = { width: 1280, height: 720, framerate: 30 };

/**
 * Runs in the page: reads the time code of as many frames as asked; src/media/timecode.rs has its layout.
 * Resolves with the latency of each frame in milliseconds, and how many codes could not be read.
 */
function readLatencies({ settle, frames }) {
  const COLUMNS = 16;
  const ROWS = 4;
  const video = document.querySelector('[data-testid=tile][data-kind=kiosk] [data-testid=tile-video]');
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });

  const checksum = (bits) => {
    let sum = 0xffff;
    for (const bit of bits) {
      const carry = (sum >> 15) ^ bit;
      sum = ((sum << 1) & 0xffff) ^ (carry ? 0x1021 : 0);
    }
    return sum;
  };
  const number = (bits) => bits.reduce((value, bit) => value * 2 + bit, 0);

  const time = () => {
    const { videoWidth: width, videoHeight: height } = video;
    const right = Math.floor((COLUMNS * width) / 40);
    const bottom = Math.floor((ROWS * height * 2) / 45);
    if (canvas.canvas.width !== right || canvas.canvas.height !== bottom) Object.assign(canvas.canvas, { width: right, height: bottom });
    canvas.drawImage(video, 0, 0, right, bottom, 0, 0, right, bottom);
    const { data } = canvas.getImageData(0, 0, right, bottom);
    const bits = [];
    for (let row = 0; row < ROWS; row += 1) {
      for (let column = 0; column < COLUMNS; column += 1) {
        // The middle of the cell, in green: its rim is blurred by coding.
        const x = Math.floor(((column + 0.5) * width) / 40);
        const y = Math.floor(((row + 0.5) * height * 2) / 45);
        bits.push(data[(y * right + x) * 4 + 1] > 127 ? 1 : 0);
      }
    }
    return checksum(bits.slice(0, 48)) === number(bits.slice(48)) ? number(bits.slice(0, 48)) : null;
  };

  return new Promise((resolve) => {
    const begin = performance.now() + settle;
    const latencies = [];
    let unreadable = 0;
    const onFrame = () => {
      const now = Date.now();
      if (performance.now() >= begin) {
        const made = time();
        if (made === null) unreadable += 1;
        else latencies.push(now - made);
      }
      if (latencies.length + unreadable === frames) resolve({ latencies, unreadable });
      else video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  });
}

async function latencyFor(sends) {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'talk.mjpeg' });
  try {
    await attache.attend({ role: 'kiosk', room: 'latency', description: 'kiosk-test', parameters: SIZE });
    const page = await openLobby(browser, attache.url, { sends });
    await enter(page, 'latency');
    await firstPicture(page);
    const { latencies, unreadable } = await page.evaluate(readLatencies, { settle: SETTLE_MS, frames: FRAMES });
    if (unreadable > FRAMES / 20) throw new Error(`${unreadable} of ${FRAMES} frames had no readable time code`);
    return { frames: latencies.length, unreadable, latency_ms: spread(latencies) };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

export async function measureLatency() {
  return { one_way: await latencyFor(false), two_way: await latencyFor(true) };
}
