// What a tile plays, put on one scale of time: the loudness of the original and of a filter's sound, and the flashes of
// the test picture. By that one tells how late a filter's sound is, and whether lips stay with it.

/** @import {Locator} from '@playwright/test' */

/**
 * @typedef {object} Played
 * @property {number[]} original its loudness, a value for each millisecond
 * @property {number[]} enhanced the filter's, likewise; zeros where there is none
 * @property {number[]} flashes the milliseconds at which the picture of `kiosk-test` became bright
 */

/** @param {Locator} tile @param {number} seconds @returns {Promise<Played>} */
export function record(tile, seconds) {
  return tile.evaluate(async (element, seconds) => {
    const find = (/** @type {string} */ name) => /** @type {HTMLVideoElement|null} */ (element.querySelector(`[data-testid="${name}"]`));
    const context = new AudioContext();
    await context.resume();
    const merger = context.createChannelMerger(2);
    for (const [index, video] of [find('tile-video'), find('enhanced-video')].entries()) {
      if (!video) continue;
      const sound = /** @type {MediaStream} */ (video.srcObject).getAudioTracks();
      context.createMediaStreamSource(new MediaStream(sound)).connect(merger, 0, index);
    }
    /** @type {number[][]} samples of both */
    const heard = [[], []];
    /** @type {number|null} of the first sample, on the context's clock */
    let began = null;
    const tap = context.createScriptProcessor(1024, 2, 2);
    tap.onaudioprocess = ({ inputBuffer, playbackTime }) => {
      began ??= playbackTime - inputBuffer.duration;
      heard.forEach((samples, index) => samples.push(...inputBuffer.getChannelData(index)));
    };
    merger.connect(tap).connect(context.destination);

    const video = /** @type {HTMLVideoElement} */ (find('tile-video'));
    const canvas = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(40, 20).getContext('2d', { willReadFrequently: true }));
    /** @type {number[]} */
    const flashes = [];
    let bright = true;
    /** @type {VideoFrameRequestCallback} */
    const look = (_, { expectedDisplayTime }) => {
      canvas.drawImage(video, 0, 0, 40, 20);
      // In the middle of the flash: src/media/timecode.rs has its place.
      const is = canvas.getImageData(33, 5, 1, 1).data[1] > 127;
      const { contextTime = 0, performanceTime = 0 } = context.getOutputTimestamp();
      if (is && !bright && began !== null) flashes.push(1000 * (contextTime - began) + expectedDisplayTime - performanceTime);
      bright = is;
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);

    while (heard[0].length < seconds * context.sampleRate) await new Promise((resolve) => setTimeout(resolve, 100));
    await context.close();
    const step = context.sampleRate / 1000;
    const [original, enhanced] = heard.map((samples) => Array.from({ length: Math.floor(samples.length / step) }, (_, i) =>
      samples.slice(Math.round(i * step), Math.round((i + 1) * step)).reduce((sum, sample) => sum + Math.abs(sample), 0) / step));
    return { original, enhanced, flashes };
  }, seconds);
}

/** By how many milliseconds, up to `most`, the second comes later: where it is most like the first. @param {number[]} first @param {number[]} second @param {number} most */
export function lagOf(first, second, most) {
  const length = first.length - most;
  const mean = first.reduce((sum, one) => sum + one, 0) / first.length;
  let best = { lag: 0, like: -Infinity };
  for (let lag = 0; lag < most; lag += 1) {
    let like = 0;
    for (let i = 0; i < length; i += 1) like += (first[i] - mean) * second[i + lag];
    if (like > best.like) best = { lag, like };
  }
  return best.lag;
}

/** By how many milliseconds each beep comes later than its flash. @param {number[]} loudness @param {number[]} flashes */
export function offsets(loudness, flashes) {
  const near = (/** @type {number} */ beep) => flashes.map((flash) => beep - flash).sort((a, b) => Math.abs(a) - Math.abs(b))[0];
  return beeps(loudness).map(near).filter((offset) => Math.abs(offset) < 500);
}

/** When it becomes loud after half a second of silence. @param {number[]} loudness */
function beeps(loudness) {
  const limit = Math.max(...loudness) / 4;
  let silent = 0;
  return loudness.flatMap((one, at) => {
    const begins = one > limit && silent > 500;
    silent = one > limit ? 0 : silent + 1;
    return begins ? [at] : [];
  });
}
