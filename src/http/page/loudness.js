// Runs where the browser makes sound: tells how loud two sounds are, in equal steps of time.

// The types of this place are not among those of a page.
const { AudioWorkletProcessor, registerProcessor, sampleRate } = /** @type {any} */ (globalThis);

/** Values told at once. */
const TOLD = 20;

class Loudness extends AudioWorkletProcessor {
  #step;
  #filled = 0;
  #isWanted = true;
  #sums = [0, 0];
  /** @type {[number, number][]} */
  #pairs = [];

  /** @param {{processorOptions: {step: number}}} options `step` in milliseconds */
  constructor({ processorOptions }) {
    super();
    this.port.onmessage = () => { this.#isWanted = false; };
    this.#step = Math.round((sampleRate * processorOptions.step) / 1000);
  }

  /** @param {Float32Array[][]} inputs by input and channel; none while nothing comes */
  process(inputs) {
    const channels = [inputs[0][0], inputs[1][0]];
    const length = channels[0]?.length ?? channels[1]?.length ?? 128;
    for (let i = 0; i < length; i += 1) {
      this.#sums[0] += (channels[0]?.[i] ?? 0) ** 2;
      this.#sums[1] += (channels[1]?.[i] ?? 0) ** 2;
      this.#filled += 1;
      if (this.#filled === this.#step) this.#tell();
    }
    return this.#isWanted;
  }

  #tell() {
    const [a, b] = this.#sums.map((sum) => Math.sqrt(sum / this.#step));
    this.#pairs.push([a, b]);
    this.#sums = [0, 0];
    this.#filled = 0;
    if (this.#pairs.length < TOLD) return;
    this.port.postMessage(this.#pairs);
    this.#pairs = [];
  }
}

registerProcessor('loudness', Loudness);
