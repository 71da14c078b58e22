// A run over a link as a picture: rates above, the queue below, and which tier was sent.

const WIDTH = 760;
const LEFT = 52;
const RIGHT = 12;
const RATES = { top: 34, height: 170 };
const QUEUE = { top: 236, height: 70 };
const HEIGHT = 336;
const STEP_MS = 200;
const COLOURS = { link: '#999999', arrives: '#1f6fb4', estimate: '#d9730d', queue: '#b4231f' };

const range = (until, step) => Array.from({ length: Math.ceil(until / step) }, (_, index) => index * step);

/** A round number not below a value. */
function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return unit * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= value);
}

function line(points, colour, dashed = false) {
  const path = points.map(([x, y]) => `${Math.round(x)},${y.toFixed(1)}`).join(' ');
  return `<polyline fill="none" stroke="${colour}" stroke-width="1.5"${dashed ? ' stroke-dasharray="5 4"' : ''} points="${path}"/>`;
}

const text = (x, y, words, more = '') => `<text x="${x}" y="${y}" ${more}>${words}</text>`;

/** Lines across a panel, with their values. */
function scale({ top, height }, most, unit) {
  return [0, 0.5, 1].map((part) => {
    const y = top + height * (1 - part);
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="#dddddd"/>${text(LEFT - 6, y + 4, `${Math.round(most * part)}`, 'text-anchor="end"')}`;
  }).join('\n') + text(LEFT - 6, top - 8, unit, 'text-anchor="end"');
}

/** What came of samples in each step, by a function of those in it. */
function steps(samples, until, value) {
  return range(until, STEP_MS).flatMap((at) => {
    const those = samples.filter((sample) => sample.at >= at && sample.at < at + STEP_MS);
    return those.length > 0 ? [[at, value(those)]] : [];
  });
}

/** @returns {string} an SVG */
export function draw(title, { samples, estimates, tiers }) {
  const until = samples.at(-1).at;
  const shown = estimates.filter(({ at }) => at >= 0 && at <= until);
  const arrives = steps(samples, until, (those) => those.reduce((sum, { bytes }) => sum + bytes * 8, 0) / STEP_MS);
  const queue = steps(samples, until, (those) => Math.max(...those.map(({ queue_ms }) => queue_ms)));
  const estimate = steps(shown, until, (those) => those.at(-1).kbps);
  const most = ceiling(1.2 * Math.max(...samples.map(({ link_kbps }) => link_kbps)));
  const longest = ceiling(Math.max(100, ...queue.map(([, ms]) => ms)));
  const x = (at) => LEFT + (at / until) * (WIDTH - LEFT - RIGHT);
  const y = ({ top, height }, value, full) => top + height * (1 - Math.min(value, full) / full);
  const placed = (panel, points, full) => points.map(([at, value]) => [x(at), y(panel, value, full)]);
  const link = samples.flatMap(({ at, link_kbps }, index) => {
    const before = samples[index - 1]?.link_kbps;
    if (index > 0 && index < samples.length - 1 && before === link_kbps) return [];
    return before === undefined || before === link_kbps ? [[at, link_kbps]] : [[at, before], [at, link_kbps]];
  });
  const legend = Object.entries({ link: 'the link carries', estimate: 'estimate', arrives: 'passes' }).map(([name, label], index) => text(LEFT + 170 + index * 130, 18, label, `fill="${COLOURS[name]}"`));
  const turns = tiers.filter(({ at }) => at > 0 && at <= until).map(({ at, tier }) => {
    const place = x(at).toFixed(0);
    return `<line x1="${place}" x2="${place}" y1="${RATES.top}" y2="${RATES.top + RATES.height}" stroke="#2a8a3e" stroke-dasharray="2 3"/>${text(Number(place) + 3, RATES.top + RATES.height - 4, tier, 'fill="#2a8a3e"')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" fill="#444444">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
${text(LEFT, 18, title, 'font-weight="bold"')}
${legend.join('\n')}
${scale(RATES, most, 'kb/s')}
${scale(QUEUE, longest, 'ms')}
${text(LEFT + 4, QUEUE.top - 8, 'the queue before the link', `fill="${COLOURS.queue}"`)}
${line(placed(RATES, link, most), COLOURS.link, true)}
${line(placed(RATES, arrives, most), COLOURS.arrives)}
${line(placed(RATES, estimate, most), COLOURS.estimate)}
${line(placed(QUEUE, queue, longest), COLOURS.queue)}
${turns.join('\n')}
${range(until, 5000).map((at) => text(x(at).toFixed(0), HEIGHT - 10, `${at / 1000} s`, 'text-anchor="middle"')).join('\n')}
</svg>
`;
}
