// The page's story: the lobby, the call, the ending, and the way between them.

import { Consent } from './consent.js';
import { LocalMedia, alreadyAllowed } from './devices.js';
import { button, get } from './dom.js';
import { Lobby, storedName } from './lobby.js';
import { forbidsSending, roomOfPath, takeToken } from './names.js';
import { RoomScreen } from './room.js';
import { goodbyeWords, refusalWords } from './words.js';

/** @import {Ending} from './words.js' */

const token = takeToken();
/** For tests and trials: `?codec=vp8` or `?codec=h264` negotiates that one alone. */
const codec = new URLSearchParams(location.search).get('codec');

const media = new LocalMedia();
const consent = new Consent();
const ending = get('ending', HTMLElement);
const lobby = new Lobby(media, consent, begin);
const screen = new RoomScreen(media, consent, {
  left: () => end(goodbyeWords(roomOfPath() ?? '')),
  refused: (code) => end(refusalWords(code, roomOfPath() ?? '')),
});

/** From the lobby into a room. @param {string} room @param {string} name */
function begin(room, name) {
  if (roomOfPath() !== room) {
    const query = codec ? `?codec=${codec}` : '';
    history.pushState(null, '', `/r/${encodeURIComponent(room)}${query}${location.hash}`);
  }
  enter(room, name);
}

/** @param {string} room @param {string} name */
function enter(room, name) {
  const receiveOnly = forbidsSending(token);
  if (!receiveOnly) media.open();
  // First, so that the way to the server is under way while the screen changes.
  screen.enter({ room, name, token, receiveOnly, codec });
  lobby.close();
  ending.hidden = true;
  document.title = `${room} · attache`;
}

/** @param {Ending} words */
function end({ title, words, again }) {
  media.close();
  document.title = 'attache';
  get('ending-title', HTMLElement).textContent = title;
  get('ending-words', HTMLElement).textContent = words;
  const retry = button('ending-again');
  retry.hidden = again === null;
  retry.textContent = again;
  ending.hidden = false;
  get('ending-title', HTMLElement).focus();
}

async function open() {
  const room = roomOfPath();
  screen.leave();
  ending.hidden = true;
  if (room && (forbidsSending(token) || (await alreadyAllowed()))) return enter(room, storedName());
  lobby.open(room);
}

button('ending-again').onclick = () => location.reload();
button('ending-home').onclick = () => location.assign('/');
addEventListener('popstate', open);
// The browser's back button may bring a page back as it was, with a call that is over.
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
// Not before: a video element that waits for somebody's picture would hold the page's load event back.
addEventListener('load', open, { once: true });
