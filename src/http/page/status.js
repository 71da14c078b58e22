// The status page: rooms, jobs, peers with their graphs, what happened; as the server tells it.

import { button, get } from './dom.js';
import { card, node } from './status-cards.js';
import { History } from './status-graphs.js';
import { StatusStream, Refused } from './status-stream.js';

/** @import {Status} from './status-stream.js' */

const TOKEN = 'attache.api-token';
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const EVENTS_KEPT = 50;

const trouble = get('trouble', HTMLElement);
const form = get('token-form', HTMLFormElement);
const history = new History();
/** @type {Map<string, string>} what was known of jobs and participants, in words */
let known = new Map();
let isFirst = true;

form.onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, get('token', HTMLInputElement).value.trim());
  form.hidden = true;
  follow();
};

button('pipelines-close').onclick = () => {
  get('pipelines', HTMLElement).hidden = true;
};

/** Shows what comes until the server wants a token; a lost server is looked for again. */
async function follow() {
  for (let failures = 0; ; failures += 1) {
    try {
      for await (const status of StatusStream.open(sessionStorage.getItem(TOKEN))) {
        failures = 0;
        trouble.hidden = true;
        show(status);
      }
      say('The server has ended the connection. Trying again…');
    } catch (error) {
      if (error instanceof Refused) return ask(error.message);
      say('The server does not answer. Trying again…');
    }
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** @param {string} words */
function say(words) {
  trouble.textContent = words;
  trouble.hidden = false;
}

/** @param {string} why */
function ask(why) {
  say(sessionStorage.getItem(TOKEN) ? why : 'This server shows its state to those who have its API token.');
  sessionStorage.removeItem(TOKEN);
  form.hidden = false;
  get('token', HTMLInputElement).focus();
}

/** @param {Status} status */
function show(status) {
  const { health, load, rooms, jobs } = status;
  const chip = get('health', HTMLElement);
  chip.textContent = health.ready ? 'ready' : 'not ready';
  chip.className = `chip ${health.ready ? 'good' : 'bad'}`;
  const limit = load.limit ? ` of ${load.limit.cores.toFixed(1)}` : '';
  get('load', HTMLElement).textContent = `${load.used.cores.toFixed(2)}${limit} cores reserved · attache ${status.version}`;
  const reasons = get('reasons', HTMLElement);
  reasons.hidden = health.ready;
  reasons.replaceChildren(...health.reasons.map((reason) => node('li', { text: reason })));
  history.add(jobs);
  const token = sessionStorage.getItem(TOKEN);
  fill('jobs', jobs.map((job) => card.job(job, history, token)), 'No job is at work.');
  const speaking = (/** @type {string} */ room) => new Set(jobs.flatMap(({ spec, speech }) => (spec.room === room ? speech?.speaking ?? [] : [])));
  fill('rooms', rooms.map((room) => card.room(room, speaking(room.name))), 'Nobody is in a room.');
  tell(status);
}

/** @param {string} id @param {HTMLElement[]} cards @param {string} nothing */
function fill(id, cards, nothing) {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.focus : undefined;
  get(id, HTMLElement).replaceChildren(...(cards.length ? cards : [node('p', { class: 'nothing', text: nothing })]));
  // Whoever uses the keyboard stays where she is.
  const again = focused && get(id, HTMLElement).querySelector(`[data-focus="${focused}"]`);
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

/** Adds what is new since the last state. @param {Status} status */
function tell({ jobs, rooms }) {
  const now = new Map();
  for (const { id, spec, state, last_error } of jobs) {
    now.set(`job ${id}`, `${spec.role} ${id} in ${spec.room}: ${state}${last_error ? `: ${last_error}` : ''}`);
  }
  for (const { name, participants } of rooms) {
    for (const { id, kind, name: shown } of participants) now.set(`in ${name} ${id}`, `${shown ?? kind} is in ${name}`);
  }
  const news = [...now].filter(([key, words]) => known.get(key) !== words).map(([, words]) => words);
  const gone = [...known].filter(([key]) => key.startsWith('in ') && !now.has(key))
    .map(([, words]) => words.replace(' is in ', ' left '));
  known = now;
  if (isFirst) {
    isFirst = false;
    return;
  }
  const list = get('events', HTMLElement);
  for (const words of [...gone, ...news]) {
    const line = node('li', {});
    line.append(node('time', { text: new Date().toLocaleTimeString() }), words);
    list.prepend(line);
  }
  while (list.children.length > EVENTS_KEPT) list.lastElementChild?.remove();
}

follow();
