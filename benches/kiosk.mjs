// What a kiosk costs beside the encoder that it cannot do without.

import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { cost } from './processes.mjs';

const SETTLE_MS = 5000;
const SECONDS = 20;
const PICTURE = { width: 1280, height: 720, framerate: 30, bitrate_kbps: 1500 };

/** The same source, encoders and settings as a kiosk's, thrown away: src/media/encoder.rs has the settings. */
const BARE = [
  `videotestsrc pattern=smpte75
   ! video/x-raw,format=I420,width=${PICTURE.width},height=${PICTURE.height},framerate=${PICTURE.framerate}/1 ! clocksync
   ! clockoverlay valignment=bottom halignment=left font-desc="Sans 20"
   ! textoverlay text=kiosk valignment=bottom halignment=right font-desc="Sans 20"
   ! vp8enc deadline=1 cpu-used=-8 lag-in-frames=0 threads=1 end-usage=cbr
     target-bitrate=${PICTURE.bitrate_kbps * 1000} buffer-size=1000 buffer-initial-size=500 buffer-optimal-size=600
     undershoot=100 overshoot=15 min-quantizer=2 max-quantizer=56 static-threshold=1 error-resilient=default
     keyframe-max-dist=1800
   ! fakesink`,
  `audiotestsrc wave=silence samplesperbuffer=480 ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! clocksync
   ! opusenc bitrate=48000 frame-size=20 inband-fec=true packet-loss-percentage=10 ! fakesink`,
].join(' ').replaceAll('"Sans 20"', 'Sans,20').split(/\s+/);

async function bareEncoder() {
  const launched = spawn('gst-launch-1.0', ['--quiet', ...BARE], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => launched.once('exit', resolve));
  await pause(SETTLE_MS);
  if (launched.exitCode !== null) throw new Error(`gst-launch-1.0 ended with ${launched.exitCode}`);
  const measured = await cost(launched.pid, SECONDS);
  launched.kill('SIGTERM');
  await ended;
  return measured;
}

/** Runs in the page: how many of the kiosk's pictures it has decoded. */
function shownPictures() {
  return document.querySelector('[data-testid=tile-video]').getVideoPlaybackQuality().totalVideoFrames;
}

async function kioskWith(sends) {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'talk.mjpeg' });
  try {
    const spec = { role: 'kiosk', room: 'kiosk', description: 'kiosk-test', parameters: { ...PICTURE, flash: false, beep: false } };
    const { id } = await attache.attend(spec);
    const page = await openLobby(browser, attache.url, { sends });
    await enter(page, 'kiosk');
    await firstPicture(page);
    const { pid } = await attache.peers(id, 1);
    await pause(SETTLE_MS);
    const before = await page.evaluate(shownPictures);
    const measured = await cost(pid, SECONDS);
    const pictures = (await page.evaluate(shownPictures)) - before;
    return { ...measured, pictures_per_second: pictures / SECONDS };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}

export async function measureKiosk() {
  return {
    picture: PICTURE,
    seconds: SECONDS,
    bare_encoder: await bareEncoder(),
    one_viewer: await kioskWith(false),
    one_person: await kioskWith(true),
  };
}
