// What went wrong, said to a person, with a way on.

/** @import {MediaKind} from './types.js' */
/** @import {Trouble} from './devices.js' */

/** @typedef {{title: string, words: string}} Message */

/** @type {Record<MediaKind, string>} */
const DEVICE = { audio: 'microphone', video: 'camera' };

/** @param {Record<MediaKind, Trouble|null>} troubles @returns {Message|null} */
export function troubleWords({ audio, video }) {
  if (audio && audio === video) return ofTrouble(audio, 'camera and microphone', true);
  if (video) return ofTrouble(video, DEVICE.video, false);
  if (audio) return ofTrouble(audio, DEVICE.audio, false);
  return null;
}

/** @param {Trouble} trouble @param {string} device @param {boolean} several @returns {Message} */
function ofTrouble(trouble, device, several) {
  const them = several ? 'them' : 'it';
  const are = several ? 'are' : 'is';
  switch (trouble) {
    case 'refused':
      return {
        title: `Your ${device} ${are} blocked`,
        words: `The browser did not let this page use ${them}. Allow ${them} at the left end of the address bar and try again, or join without.`,
      };
    case 'missing':
      return {
        title: `No ${device} found`,
        words: `Plug ${several ? 'one' : 'it'} in and try again, or join without: you still see and hear everybody.`,
      };
    case 'busy':
      return {
        title: `Your ${device} ${are} in use`,
        words: `Another program holds ${them}. Close that program and try again, or join without.`,
      };
    case 'insecure':
      return {
        title: `No ${device} on this page`,
        words: 'Browsers give cameras only to secure pages. Open this page with https, or join without.',
      };
    case 'lost':
      return {
        title: `Your ${device} ${several ? 'were' : 'was'} unplugged`,
        words: `Plug ${them} in again or choose another in the settings.`,
      };
    case 'unknown':
      return {
        title: `Your ${device} did not start`,
        words: 'The browser does not say why. Try again, choose another device, or join without.',
      };
  }
}

/** What to offer after a refusal: the same again, or only another room. @typedef {Message & {again: string|null}} Ending */

/** @param {string} code of the protocol @param {string} room @returns {Ending} */
export function refusalWords(code, room) {
  switch (code) {
    case 'unauthorized':
      return {
        title: 'You need an invitation',
        words: `The room “${room}” is for people with an invitation link, and yours is missing, wrong or has run out. Ask whoever invited you for a new link.`,
        again: 'Try again',
      };
    case 'forbidden':
      return {
        title: 'Your invitation is for something else',
        words: `It does not let you into the room “${room}”. Ask whoever invited you for a new link.`,
        again: 'Try again',
      };
    case 'room_full':
      return { title: 'The room is full', words: `As many people as fit are in “${room}”. Try again when somebody has left.`, again: 'Try again' };
    case 'server_full':
      return { title: 'The server is busy', words: 'It carries as many calls as it can. Try again in a moment.', again: 'Try again' };
    case 'removed':
      return { title: 'You were taken out of the call', words: `Somebody who looks after “${room}” ended your part in it.`, again: null };
    case 'unsupported_protocol':
    case 'invalid_message':
      return { title: 'This page is out of date', words: 'The server speaks another version. Load the page again.', again: 'Load again' };
    default:
      return { title: 'The call could not go on', words: `The server gave the reason “${code}”.`, again: 'Try again' };
  }
}

/** What the filter does with this page's sound. @param {import('./peer.js').FilterReport} report */
export function cleanedWords({ suppression, bypassed }) {
  if (bypassed) return 'On, but the server is too busy just now: the others hear you as you are';
  return suppression < 1 ? 'On: there is no noise to take out' : `On: noise is ${Math.round(suppression)} dB less loud for the others`;
}

/** Why the server does not clean up somebody's sound. @param {string} code of the protocol */
export function cleaningWords(code) {
  if (code === 'filters_forbidden') return 'This server does not clean up sound.';
  return 'The server cannot clean up your sound now. The others hear you as you are; try again in a while.';
}

/** @param {string} room @returns {Ending} */
export function goodbyeWords(room) {
  return { title: 'You left the call', words: `The room “${room}” stays open as long as somebody is in it.`, again: 'Join again' };
}
