// Which video codec this page likes best. What saves data costs the processor, once for each person in a call: it goes
// first only where the machine has hardware for it, both ways.

/** Best first, where hardware does the work. */
const SAVING = ['video/av1', 'video/vp9'];
/** Best first, where the processor does it. */
const COMMON = ['video/vp8', 'video/h264', 'video/vp9', 'video/av1'];
/** What goes with a codec: retransmissions, redundancy. */
const HELPERS = ['video/rtx', 'video/red', 'video/ulpfec', 'video/flexfec-03'];

/** Lower-case types, best first; asked for while the page loads. */
const order = rank();

/** What the browser has hardware for comes first. */
async function rank() {
  const able = await Promise.all(SAVING.map(hasHardware));
  const first = SAVING.filter((_, index) => able[index]);
  return [...first, ...COMMON.filter((type) => !first.includes(type))];
}

/** @param {string} contentType @returns {Promise<boolean>} */
async function hasHardware(contentType) {
  const video = { contentType, width: 1280, height: 720, bitrate: 1_500_000, framerate: 30 };
  try {
    const [out, back] = await Promise.all([
      navigator.mediaCapabilities.encodingInfo({ type: 'webrtc', video }),
      navigator.mediaCapabilities.decodingInfo({ type: 'webrtc', video }),
    ]);
    return [out, back].every(({ smooth, powerEfficient }) => smooth && powerEfficient);
  } catch {
    // A browser that cannot be asked, or does not know the codec.
    return false;
  }
}

/** Puts the codecs of a video transceiver in order. @param {RTCRtpTransceiver} transceiver @param {string|null} only negotiate this one alone, as `VP8` */
export async function prefer(transceiver, only) {
  const all = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  const wanted = only ? [`video/${only.toLowerCase()}`] : await order;
  /** @param {RTCRtpCodec} codec */
  const place = ({ mimeType }) => wanted.indexOf(mimeType.toLowerCase());
  const first = all.filter((codec) => place(codec) >= 0).sort((a, b) => place(a) - place(b));
  const rest = all.filter((codec) => place(codec) < 0);
  if (first.length) transceiver.setCodecPreferences([...first, ...only ? rest.filter(({ mimeType }) => HELPERS.includes(mimeType.toLowerCase())) : rest]);
}
