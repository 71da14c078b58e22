// By how much one sound comes later than another of the same voice, by how loud both are from moment to moment.

/** Each value is the loudness of so many milliseconds. */
export const STEP_MS = 4;
/** More than the network and a filter take. */
const MOST_MS = 600;
/** Less than this may be chance: 1 is the same sound, 0 another one. */
const LIKE_ENOUGH = 0.6;
const LISTEN_MS = 4000;
const LISTEN_LIMIT_MS = 8000;

/**
 * Pure: the lag at which the loudness of both goes up and down together.
 * @param {number[]} first @param {number[]} second as many values
 * @returns {number|null} milliseconds by which the second comes later; null: nothing that tells it was heard
 */
export function lagOf(first, second) {
  const most = Math.min(Math.floor(MOST_MS / STEP_MS), Math.floor(first.length / 2));
  let best = { lag: 0, likeness: LIKE_ENOUGH };
  for (let lag = -most; lag <= most; lag += 1) {
    const like = likeness(first, second, lag);
    if (like > best.likeness) best = { lag, likeness: like };
  }
  return best.likeness > LIKE_ENOUGH ? best.lag * STEP_MS : null;
}

/** Pearson's coefficient, of the values that fall together. @param {number[]} first @param {number[]} second @param {number} lag in values */
function likeness(first, second, lag) {
  let [count, a, b, ab, aa, bb] = [0, 0, 0, 0, 0, 0];
  for (let i = Math.max(0, -lag); i < first.length - Math.max(0, lag); i += 1) {
    const [x, y] = [first[i], second[i + lag]];
    count += 1;
    a += x;
    b += y;
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  const spread = (count * aa - a * a) * (count * bb - b * b);
  return spread > 0 ? (count * ab - a * b) / Math.sqrt(spread) : 0;
}

/** One for the page, and one measurement at a time: to make it, the browser halts everything else for a moment. @type {Promise<AudioContext>|null} */
let shared = null;
/** @type {Promise<unknown>} */
let turn = Promise.resolve();

/** To be called before something depends on the page's attention. */
export function prepareToMeasure() {
  shared ??= prepare();
  return shared;
}

async function prepare() {
  const context = new AudioContext();
  await context.audioWorklet.addModule('/page/loudness.js');
  await context.suspend();
  return context;
}

/** Listens to two streams for some seconds. @param {MediaStream} first @param {MediaStream} second @returns {Promise<number|null>} as `lagOf` */
export function measureLag(first, second) {
  const lag = turn.then(() => measure(first, second));
  turn = lag.catch(() => {});
  return lag;
}

/** @param {MediaStream} first @param {MediaStream} second */
async function measure(first, second) {
  const context = await prepareToMeasure();
  const options = { numberOfInputs: 2, numberOfOutputs: 1, processorOptions: { step: STEP_MS } };
  const node = new AudioWorkletNode(context, 'loudness', options);
  const sources = [first, second].map((stream) => context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())));
  sources.forEach((source, input) => source.connect(node, 0, input));
  // It is silent; without a way out it would not run.
  node.connect(context.destination);
  try {
    // A browser that still waits for a gesture answers only then.
    context.resume();
    const heard = await listen(node);
    return lagOf(heard.map(([one]) => one), heard.map(([, other]) => other));
  } finally {
    for (const source of sources) source.disconnect();
    node.disconnect();
    node.port.postMessage('end');
    await context.suspend();
  }
}

/** @param {AudioWorkletNode} node @returns {Promise<[number, number][]>} what was heard within the limit */
function listen(node) {
  /** @type {[number, number][]} */
  const heard = [];
  return new Promise((resolve) => {
    setTimeout(() => resolve(heard), LISTEN_LIMIT_MS);
    node.port.onmessage = ({ data }) => {
      heard.push(...data);
      if (heard.length >= LISTEN_MS / STEP_MS) resolve(heard);
    };
  });
}
