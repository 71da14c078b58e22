// What a person does at the page, and what is measured there. The browser is that of the tests.

export { launch } from '../tests/browser/fixtures.js';

/** Runs in the page before its own code: notes when "Start" is pressed and when the kiosk's first picture is there. */
function watchJoin() {
  const times = { start: 0, frame: 0, shown: 0 };
  window.joinTimes = times;
  addEventListener('click', ({ target }) => {
    if (target instanceof Element && target.closest('[data-testid=start]')) times.start = performance.now();
  }, true);
  const seen = new WeakSet();
  const look = () => {
    for (const video of document.querySelectorAll('[data-testid=tile][data-kind=kiosk] video')) {
      if (seen.has(video)) continue;
      seen.add(video);
      video.requestVideoFrameCallback(() => { times.frame ||= performance.now(); });
    }
    if (document.querySelector('[data-testid=tile][data-kind=kiosk].live')) times.shown ||= performance.now();
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
}

/** A page in the lobby with its camera on, or with nothing to send. `before` runs in it before its own code. */
export async function openLobby(browser, url, { sends = true, before = null } = {}) {
  const context = await browser.newContext({ permissions: ['camera', 'microphone'] });
  const page = await context.newPage();
  await page.addInitScript(watchJoin);
  if (before) await page.addInitScript(before);
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector('[data-testid=preview-video]').videoWidth > 0);
  if (!sends) {
    await page.getByTestId('lobby-camera').click();
    await page.getByTestId('lobby-microphone').click();
  }
  return page;
}

/** Enters a room by its button. */
export async function enter(page, room) {
  await page.getByTestId('room').fill(room);
  await page.getByTestId('start').click();
}

/** Waits for the kiosk's picture; milliseconds from "Start" to its first frame, and until its tile shows it. */
export async function firstPicture(page) {
  await page.waitForFunction(() => window.joinTimes.shown > 0);
  const { start, frame, shown } = await page.evaluate(() => window.joinTimes);
  return { frame_ms: frame - start, shown_ms: shown - start };
}
