// From measurements to what is written down: percentiles, rounding, the table in docs/benchmarks.md.

/** The value that a part of all values does not exceed (nearest rank). */
function percentile(sorted, part) {
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)];
}

export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), min: sorted[0], max: sorted.at(-1) };
}

/** Rounds every number in a tree, so that the files do not claim more than was measured. */
export function rounded(value) {
  if (typeof value === 'number') return Number.isInteger(value) ? value : Number(value.toFixed(Math.abs(value) < 10 ? 3 : 1));
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rounded(inner)]));
}

const milliseconds = (value) => `${Math.round(value)} ms`;
const range = ({ p50, max }) => `${milliseconds(p50)} / ${milliseconds(max)}`;
const cores = (value) => value.toFixed(3);
const mebibytes = (value) => `${value.toFixed(1)} MiB`;
const cost = (measured) => `${cores(measured.cores)}, ${mebibytes(measured.rss_mib)}`;

function difference(more, less) {
  return { cores: more.cores - less.cores, rss_mib: more.rss_mib - less.rss_mib };
}

const percent = (part) => `${Math.round(part * 100)} %`;

const engine = (measured) => `${cores(measured.real_time_factor)}, ${measured.mean_us} µs, ${measured.p99_us} µs`;

/** What a long recording of one kind shows. */
function long({ files }, what) {
  const found = files.find((file) => file.what === what);
  if (!found) throw new Error(`no recording ${what} is in ${files.map((file) => file.what).join(', ')}`);
  return found;
}

const perHour = (file) => `${file.drift_ms_per_hour.toFixed(1)} ms`;

function rows({ join, latency, kiosk, recorder, mixed, many, crash, changes, reconnect, filter, hop, viewers, link, drift }) {
  const { bare_encoder: bare, one_viewer: viewer, one_person: person } = kiosk;
  return [
    ['join: "Start" to first frame, p50', milliseconds(join.first_frame_ms.p50), '300 ms'],
    ['join: "Start" to first frame, p95', milliseconds(join.first_frame_ms.p95), '500 ms'],
    ['join: "Start" to the tile showing it, p50 / p95', `${milliseconds(join.shown_ms.p50)} / ${milliseconds(join.shown_ms.p95)}`, ''],
    ['daemon to page latency, page sends nothing, median', milliseconds(latency.one_way.latency_ms.p50), '50 ms'],
    ['daemon to page latency, page sends nothing, p95', milliseconds(latency.one_way.latency_ms.p95), ''],
    ['daemon to page latency, page sends 720p, median', milliseconds(latency.two_way.latency_ms.p50), '50 ms'],
    ['daemon to page latency, page sends 720p, p95', milliseconds(latency.two_way.latency_ms.p95), ''],
    ['bare encoder (gst-launch-1.0): cores, memory', cost(bare), ''],
    ['kiosk, one viewer: cores, memory', cost(viewer), ''],
    ['kiosk, one viewer, over the bare encoder: cores, memory', cost(difference(viewer, bare)), ''],
    ['kiosk, one person who sends 720p too: cores, memory', cost(person), ''],
    ['recorder, one person: cores', cores(recorder.cores), '0.05'],
    ['recorder, one person: memory', mebibytes(recorder.rss_mib), '60 MB'],
    ['mixed recorder, two people who send 720p: cores', cores(mixed.mixed.cores), ''],
    ['the decoders and encoders of that alone (gst-launch-1.0): cores', cores(mixed.codecs_alone.cores), ''],
    ['mixed recorder over decoders and encoders alone', percent(mixed.over_codecs), '20 %'],
    ['mixed recorder over decoders, encoders and a recorder that does not decode', percent(mixed.over_codecs_and_reception), ''],
    ['mixed recordings: sound and picture apart, p50 / p95', `${milliseconds(mixed.apart.p50_ms)} / ${milliseconds(mixed.apart.p95_ms)}`, '40 ms (p95)'],
    [`${many.recordings} recordings at once: cores, memory of each`, `${cores(many.cores_each)}, ${mebibytes(many.pss_mib_each)}`, '0.05, 60 MB'],
    [`${many.recordings} recordings at once: pictures in the files, of those sent`, `${many.pictures} of ${many.pictures_sent}`, 'all'],
    [`${many.recordings} recordings at once: flashes and beeps in the files, of full seconds`, `${many.flashes} and ${many.beeps} of ${many.full_seconds}`, 'all'],
    ['recorder killed: what is missing in its files, p50', milliseconds(crash.p50_ms), ''],
    ['recorder killed: what is missing in its files, worst', milliseconds(crash.max_ms), '500 ms'],
    ['the same while 5 % of the packets are lost, p50 / worst', `${milliseconds(crash.lossy_p50_ms)} / ${milliseconds(crash.lossy_max_ms)}`, '500 ms'],
    ['WHEP: POST to first key frame, p50 / p95', `${milliseconds(viewers.first_key_frame_ms.p50)} / ${milliseconds(viewers.first_key_frame_ms.p95)}`, '120 / 200 ms'],
    ...viewers.costs.map((cost) => [
      `kiosk, ${cost.viewers} WHEP viewers of one tier: cores (over one viewer), memory, threads`,
      `${cores(cost.cores)} (${(cost.cores / viewers.costs[0].cores).toFixed(2)}), ${mebibytes(cost.rss_mib)}, ${cost.threads}`,
      { 8: '1.40, 100 MiB, 60', 20: '1.80' }[cost.viewers] ?? '',
    ]),
    ['start on 1 Mb/s: time to 90 %, p50 / worst', range(link.start.to_90_percent_ms), '2500 ms'],
    ['1 -> 2.5 Mb/s: time to 90 %, p50 / worst', range(link.gain.to_90_percent_ms), '10000 ms'],
    ['2.5 -> 0.6 Mb/s: reaction, p50 / worst', range(link.fall.reaction_ms), '800 ms'],
    ['2.5 -> 0.6 Mb/s: queue peak, p50 / worst', range(link.fall.queue_peak_ms), '200 ms'],
    ['2.5 -> 0.6 Mb/s: frozen picture, p50 / worst', range(link.fall.frozen_ms), '1000 ms'],
    ['steady 1 Mb/s: use, queue p95, tier changes in a minute', `${percent(link.steady.used)}, ${milliseconds(link.steady.queue_p95_ms)}, ${link.steady.tier_changes}`, '90 %, 50 ms, 2'],
    ['10 % random loss, 2 Mb/s: rate, frozen picture', `${Math.round(link.loss.kbps)} kb/s, ${percent(link.loss.frozen)}`, '500 kb/s, 5 %'],
    ['beside one TCP flow, 1 Mb/s', `${Math.round(link.beside_tcp.kbps)} kb/s`, '250-750 kb/s'],
    ["two kiosks on one link of 2 Mb/s: Jain's index", link.two.jain.toFixed(3), '0.9'],
    ['sound, with the link squeezed to 100 kb/s: concealed', `${(link.squeezed.concealed * 100).toFixed(2)} %`, '1 %'],
    ['an hour as it was received: sound and picture apart, p95', milliseconds(long(drift, 'as received').p95_ms), '40 ms'],
    ['an hour as it was received: drift in an hour', perHour(long(drift, 'as received')), '10 ms'],
    ['an hour mixed: sound and picture apart, p95', milliseconds(long(drift, 'mixed').p95_ms), '40 ms'],
    ['an hour mixed: drift in an hour', perHour(long(drift, 'mixed')), '10 ms'],
    ['`attache pipelines check`, all shipped files, longest', milliseconds(changes.check_ms.max), '2000 ms'],
    ['start of a kiosk until it has joined, encoders proven, p50', milliseconds(changes.start_ms.p50), '300 ms'],
    ['start of a kiosk until it has joined, encoders proven, longest', milliseconds(changes.start_ms.max), ''],
    ['longest time without a picture, other size in the middle of a call, worst', milliseconds(changes.reload_gap_ms.max), '500 ms'],
    ['longest time without a picture, broken encoder in the middle of a call, worst', milliseconds(changes.fallback_gap_ms.max), '500 ms'],
    ['path back after 2 s: first picture, p50 / worst', range(reconnect.cuts.after_2_s_ms), '1000 ms'],
    ['path back after 5 s: first picture, p50 / worst', range(reconnect.cuts.after_5_s_ms), '1000 ms'],
    ['path back after 10 s: first picture, p50 / worst', range(reconnect.cuts.after_10_s_ms), '1000 ms'],
    ['kiosk without its address: noticed after, p50 / worst', range(reconnect.address.noticed_ms), '3000 ms'],
    ['kiosk with another address: first picture, p50 / worst', range(reconnect.address.picture_ms), '2000 ms'],
    ['worker killed: first picture of the next one, p50 / worst', range(reconnect.killed_ms), '5000 ms'],
    ['camera unplugged and plugged in: longest time without a picture, p50 / worst', range(reconnect.camera_gap_ms), '500 ms'],
    ['noise suppression, rnnoise: cores, time per frame, p99', engine(filter.rnnoise), '0.03'],
    ['noise suppression, nsnet2: cores, time per frame, p99', engine(filter.nsnet2), '0.15'],
    ['noise suppression, webrtcdsp: cores, time per frame, p99', engine(filter.webrtcdsp), ''],
    ['a voice by way of a filter, browser to browser: later than without, p50', milliseconds(hop.added_ms.p50), ''],
    ['a voice by way of a filter, browser to browser: later than without, p95', milliseconds(hop.added_ms.p95), '100 ms'],
    ['by way of a filter: sound after picture, p50 (without a filter)', `${milliseconds(hop.filtered_after_picture_ms.p50)} (${milliseconds(hop.original_after_picture_ms.p50)})`, ''],
    ['a filter for one voice, one who listens, rnnoise: cores, memory', cost(hop.rnnoise), ''],
    ['a filter for one voice, one who listens, nsnet2: cores, memory', cost(hop.nsnet2), ''],
  ];
}

/** The pictures that `benches/link.mjs` draws. */
const LINKS = ['start', 'gain', 'fall', 'steady', 'loss', 'beside-tcp', 'two', 'squeezed'];

/** On which day, at which commit and beside what load each part was measured. */
function origins(parts) {
  return Object.entries(parts).map(([name, { date, commit, load_before }]) => `| ${name} | ${date} | ${commit} | ${load_before} |`).join('\n');
}

export function page({ machine, parts }) {
  const { join, latency, kiosk, recorder, mixed, many, crash, changes, reconnect, filter, hop, link, drift } = parts;
  return `# Numbers

\`make bench\` measures these and writes this page and \`benches/results.json\`. Nothing here is typed by hand.

| what | measured | goal |
| --- | --- | --- |
${rows(parts).map((cells) => `| ${cells.join(' | ')} |`).join('\n')}

Memory is what is resident (RSS), shared libraries included; \`results.json\` has the proportional share (PSS), too. Cores
are processor seconds per second.

## How

- **Join**: ${join.joins} joins, one after the other, none left out. Chromium sends 720p itself; its camera is a file. From the
  press of "Start" in the lobby to the first frame of a kiosk's picture (\`requestVideoFrameCallback\`).
- **Latency**: ${latency.one_way.frames} and ${latency.two_way.frames} frames of 720p. Each picture of \`kiosk-test\` carries the time it was made; the page reads it from the pixels of
  the frame it is about to show and compares it with the clock of the same machine. Capture devices and displays have
  their own delays, which are not in it; encoder, network, jitter buffer and decoder are.
- **Kiosk**: ${kiosk.picture.width}x${kiosk.picture.height} at ${kiosk.picture.framerate}, VP8 at ${kiosk.picture.bitrate_kbps} kb/s and Opus, ${kiosk.seconds} s. The bare encoder has the same source, encoders and
  settings and no network. A viewer sends nothing; a person sends a picture and sound, which the kiosk decodes. The pages
  decoded ${kiosk.one_viewer.pictures_per_second} and ${kiosk.one_person.pictures_per_second} pictures per second.
- **Recorder**: ${recorder.seconds} s of one Chromium that sends 720p VP8 and Opus; ${Math.round(recorder.written_kbps)} kb/s were written.
- **Mixed recorder**: ${mixed.seconds} s of ${mixed.people} kiosks with 1280x720 at 30 pictures per second, VP8; the film has 1280x720 at 25. For comparison
  \`gst-launch-1.0\` decodes what an ordinary recorder wrote of both, and encodes the film once more with the same settings. The rest is
  reception (ICE, DTLS, SRTP, jitter buffers: what that ordinary recorder costs, ${mixed.received.cores} cores), scaling, names, clock and sound mixing.
- **Mixed recordings, apart**: ${mixed.apart.flashes} flashes and beeps in ${mixed.apart.mixes} films of a kiosk, half of them VP8 and Opus in WebM, half H.264 and
  AAC in MP4; the first seconds, before the sender's reports, included.
- **Recordings at once**: ${many.seconds} s of one kiosk that sends 1280x720 at 30 pictures per second to ${many.recordings} recorders, each a process of
  its own: one encoder, so that the recorders are what is measured. Memory is the proportional share (PSS).
- **Recorder killed**: \`kill -9\` at ${crash.kills} random instants in the first six seconds, of recordings in WebM, MP4, Matroska
  and Ogg, one of a sender of sound alone. From the instant to the last picture (by its time code) or sound in the file. The
  same again with each 20th packet lost on its way to the recorder: of sound ${milliseconds(crash.lossy_sound_max_ms)} were missing at most.
- **An hour**: ${Math.round(long(drift, 'as received').seconds / 60)} minutes of \`kiosk-test\` (320x180, 15 pictures per second), recorded as received and mixed at the
  same time on ${drift.date}, commit ${drift.commit}. ${long(drift, 'as received').flashes} and ${long(drift, 'mixed').flashes} flashes, of which ${long(drift, 'as received').without_a_beep} and ${long(drift, 'mixed').without_a_beep} had no beep in the file (the load average of this
  machine was ${drift.load_before}); the largest offset of the others was ${milliseconds(long(drift, 'as received').max_ms)} and
  ${milliseconds(long(drift, 'mixed').max_ms)}. The drift is the slope of the line with the least squares. All run by one machine's clock; that a sender's
  sound card runs fast is a test's matter (\`tests/sound/drift.rs\`). \`node benches/run.mjs drift 3600\` does it again.
- **Changes**: checks and starts ${changes.times} times, gaps in ${changes.gaps} calls each. The size goes from 1280x720 to 960x540: a new source and a new encoder behind the running
  call. The broken encoder is a stand-in for \`vah264enc\` that works until its 240th frame and then fails; x264enc takes
  over. The page notes the longest time between two pictures (33 ms where nothing happens).
- **Networks that fail**: ${reconnect.times} calls each between a page and a kiosk in a network namespace. The path that is
  cut carries the signalling, too; where the address changes, it has a link of its own. From the moment the path is there again, or the kiosk has another address, to the first picture in the page's tile.
  The kiosk is without any address for ${reconnect.away_ms / 1000} s. Worker and camera are those of a kiosk on this machine; the
  camera is a stand-in that is gone for 3 s.
- **Noise suppression**: \`attache denoise\` over ${Math.round(filter.rnnoise.sound_seconds)} s of speech, one channel, frames of 10 ms; the time in the engine alone.
  What it does for speech is in [filters.md](filters.md), measured by \`make quality\`; echo cancellation is in [kiosk.md](kiosk.md#echo), measured by \`tests/echo\`.
- **Links**: a kiosk in a network namespace sends 1280x720 at 30 pictures per second, up to 3 Mb/s, to one Chromium over a link with a
  queue of 300 ms. What passes is counted at the link, what is frozen or made up by Chromium. The link narrows ${link.fall.times} times.
- **By way of a filter**: one Chromium speaks, the server's filter (nsnet2) takes the noise out, another page plays both. The lag
  at which the loudness of the filtered voice is most like that of the original, ${hop.lags} times over 3 s of speech; the page
  was kept from holding anything back for it. Sound and picture: ${hop.beeps} beeps that belong to flashes, of what the page
  plays once it holds the picture back. What a filter takes holds decoder, encoder and two peers.

Browser, server and worker share the machine's cores, so every number contains their competition.

## Links

${LINKS.map((name) => `![${name}](images/link-${name}.svg)`).join('\n')}

## When

| part | date | commit | load average before |
| --- | --- | --- | --- |
${origins(parts)}

## The machine

| | |
| --- | --- |
${Object.entries(machine).map(([name, value]) => `| ${name.replaceAll('_', ' ')} | ${value} |`).join('\n')}
`;
}
