// Jobs and rooms as cards.

import { get } from './dom.js';
import { graph } from './status-graphs.js';

/** @import {Job, JobPeer, Room} from './status-stream.js' */
/** @import {History} from './status-graphs.js' */

/** @type {Record<string, string>} */
const GRADES = { joined: 'good', connected: 'good', failed: 'bad', restarting: 'bad', disconnected: 'bad', reconnecting: 'fair', connecting: 'fair', starting: 'fair', stopping: 'fair' };

/** @param {string} tag @param {{class?: string, text?: string, testid?: string}} of */
export function node(tag, { class: name, text, testid }) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  if (testid) element.dataset.testid = testid;
  return element;
}

/** @param {string} text @param {string} [grade] */
const chip = (text, grade = '') => node('span', { class: `chip ${grade}`, text });

/** @param {string} title @param {HTMLElement[]} chips */
function headed(title, chips) {
  const element = node('article', { class: 'card' });
  const head = node('div', { class: 'card-head' });
  head.append(node('strong', { text: title }), ...chips);
  element.append(head);
  return element;
}

export const card = {
  /** @param {Job} job @param {History} history @param {string|null} token */
  job(job, history, token) {
    const { id, spec, state, encoders, recordings, last_error, restarts, paused } = job;
    const chips = [chip(state, GRADES[state])];
    if (paused) chips.push(chip('paused', 'fair'));
    if (restarts) chips.push(chip(`started again ${restarts}×`, 'fair'));
    const element = headed(`${spec.name ?? spec.role} in ${spec.room}`, chips);
    element.dataset.testid = 'job';
    element.dataset.job = id;
    const since = new Date(job.started_at).toLocaleString();
    element.append(node('p', { text: `${id} · ${spec.description ?? spec.role} · since ${since}` }));
    if (last_error) element.append(node('p', { class: 'wrong', text: last_error }));
    for (const { device, reason, since: lostAt } of job.lost ?? []) {
      const line = node('p', { class: 'wrong', testid: 'lost', text: `${device} lost since ${new Date(lostAt).toLocaleTimeString()}: ${reason}` });
      element.append(line);
    }
    for (const { codec, encoder, reason } of encoders) element.append(node('p', { text: `${codec}: ${encoder} (${reason})` }));
    for (const { participant, suppression_db, p99_us, load, voice, bypassed } of job.filters ?? []) {
      const does = bypassed ? 'bypassed' : `${suppression_db.toFixed(0)} dB less noise`;
      const line = node('p', { testid: 'filter', text: `${participant}: ${does} · ${(100 * load).toFixed(1)} % of a core · ${(p99_us / 1000).toFixed(2)} ms for a frame (p99)` });
      if (voice > 0.5) line.append(' ', chip('speaks', 'good'));
      element.append(line);
    }
    for (const peer of job.peers) element.append(peerRow(job, peer, history));
    if (recordings.length) element.append(files(recordings));
    if (job.participant) element.append(pipeline(id, token));
    return element;
  },

  /** @param {Room} room @param {Set<string>} speaking those whom a job of the room hears speak */
  room({ name, participants }, speaking) {
    const element = headed(name, [chip(`${participants.length}`)]);
    const list = node('ul', { class: 'members' });
    for (const { id, kind, name: shown, recording, sends } of participants) {
      const line = node('li', {});
      const media = [sends.audio && 'sound', sends.video && 'picture'].filter(Boolean).join(' and ') || 'nothing';
      line.append(node('strong', { text: shown ?? id }), chip(kind), node('span', { class: 'dim', text: `sends ${media}` }));
      if (recording) line.append(chip('recording', 'bad'));
      if (speaking.has(id)) line.append(chip('speaks', 'good'));
      list.append(line);
    }
    element.append(list);
    return element;
  },
};

/** @param {Job} job @param {JobPeer} peer @param {History} history */
function peerRow(job, peer, history) {
  const { participant, generation, state, quality, tier } = peer;
  const row = node('div', { class: 'peer', testid: 'peer' });
  const head = node('div', { class: 'peer-head' });
  head.append(node('span', { text: participant }), chip(state, GRADES[state]));
  if (generation > 1) head.append(chip(`connection ${generation}`));
  if (tier) head.append(chip(tier === 'none' ? 'sound only' : tier, tier === 'none' ? 'bad' : undefined));
  if (quality?.path) head.append(chip(quality.path));
  if (quality?.score) head.append(chip(`${quality.score.toFixed(1)} of 5`, quality.score >= 4 ? 'good' : quality.score >= 3 ? 'fair' : 'bad'));
  row.append(head);
  const samples = history.of(job.id, peer);
  const last = samples.at(-1);
  if (!last) return row;
  const graphs = node('div', { class: 'graphs' });
  const carries = last.estimate === null ? '' : ` of ${last.estimate.toFixed(0)}`;
  const rate = `↑ ${last.sent.toFixed(0)}${carries} ↓ ${last.received.toFixed(0)} kb/s`;
  const trip = last.roundTrip === null ? '–' : `${last.roundTrip.toFixed(0)} ms`;
  graphs.append(
    graph('Rate', rate, [samples.map(({ sent }) => sent), samples.map(({ received }) => received), samples.map(({ estimate }) => estimate)], 100),
    graph('Loss', `${last.loss.toFixed(1)} %`, [samples.map(({ loss }) => loss)], 5),
    graph('Round trip', trip, [samples.map(({ roundTrip }) => roundTrip)], 50),
  );
  row.append(graphs);
  return row;
}

/** @param {Job['recordings']} recordings */
function files(recordings) {
  const list = node('ul', { class: 'files' });
  for (const { file, bytes, duration_ms, finished } of recordings) {
    const text = `${file.split('/').at(-1)}: ${(duration_ms / 1000).toFixed(0)} s, ${(bytes / 1e6).toFixed(1)} MB${finished ? '' : ', is written'}`;
    list.append(node('li', { text }));
  }
  return list;
}

/** Shows the picture of a job's pipelines in its own place, which stays while the cards are made anew. @param {string} id @param {string|null} token */
async function showPipelines(id, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  const response = await fetch(`/api/v1/jobs/${encodeURIComponent(id)}/graph`, { headers });
  const words = get('pipelines-title', HTMLElement);
  const picture = get('pipelines-picture', HTMLImageElement);
  get('pipelines', HTMLElement).hidden = false;
  URL.revokeObjectURL(picture.src);
  picture.hidden = !response.ok;
  words.textContent = response.ok ? `The pipelines of ${id}` : `The pipelines of ${id} cannot be shown now`;
  if (response.ok) picture.src = URL.createObjectURL(await response.blob());
  get('pipelines', HTMLElement).scrollIntoView({ block: 'nearest' });
}

/** @param {string} id @param {string|null} token */
function pipeline(id, token) {
  const button = document.createElement('button');
  button.className = 'button small';
  button.type = 'button';
  button.dataset.testid = 'pipeline';
  button.dataset.focus = id;
  button.textContent = 'Show the pipelines';
  button.onclick = () => showPipelines(id, token);
  return button;
}
