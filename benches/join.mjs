// From the press of "Start" to the kiosk's first picture in the page.

import { Attache } from './attache.mjs';
import { enter, firstPicture, launch, openLobby } from './browser.mjs';
import { spread } from './report.mjs';

const JOINS = 25;

export async function measureJoin() {
  const attache = await Attache.begin();
  const browser = await launch({ picture: 'talk.mjpeg' });
  try {
    const kiosk = await attache.attend({ role: 'kiosk', room: 'join', description: 'kiosk-test' });
    const joins = [];
    for (let n = 0; n < JOINS; n += 1) {
      const page = await openLobby(browser, attache.url);
      await enter(page, 'join');
      joins.push(await firstPicture(page));
      await page.context().close();
      await attache.peers(kiosk.id, 0);
    }
    return {
      joins: JOINS,
      first_frame_ms: spread(joins.map(({ frame_ms }) => frame_ms)),
      shown_ms: spread(joins.map(({ shown_ms }) => shown_ms)),
    };
  } finally {
    await browser.close();
    await attache.dispose();
  }
}
