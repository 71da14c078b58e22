// The level meter of the page's own microphone.

/** Silence at -60 dB, full at 0 dB. */
const FLOOR_DB = -60;

export class LevelMeter {
  /** @type {AudioContext|null} */
  #context = null;
  /** @type {MediaStreamTrack|null} */
  #track = null;
  #frame = 0;

  /** @param {MediaStreamTrack|null} track @param {(level: number) => void} show level from 0 to 1 */
  follow(track, show) {
    if (track === this.#track) return;
    this.stop();
    this.#track = track;
    show(0);
    if (!track) return;
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    this.#context = context;
    // Before the first gesture on the page, some browsers keep it asleep.
    if (context.state === 'suspended') {
      for (const gesture of ['pointerdown', 'keydown']) addEventListener(gesture, () => this.#context === context && context.resume(), { once: true });
    }
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    const measure = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      const level = Math.max(0, 1 - (10 * Math.log10(power + 1e-12)) / FLOOR_DB);
      shown = Math.max(level, shown * 0.92);
      show(shown);
      this.#frame = requestAnimationFrame(measure);
    };
    measure();
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#context?.close();
    this.#context = null;
    this.#track = null;
  }
}
