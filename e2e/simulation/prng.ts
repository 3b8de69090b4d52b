/**
 * A random number generator with a seed: sfc32 (https://pracrand.sourceforge.net/RNG_engines.txt), seeded through
 * xxHash64. Equal seeds give equal numbers on every machine.
 */
export class Prng {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#seed = seed;
    const first = Bun.hash.xxHash64(seed);
    const second = Bun.hash.xxHash64(seed, first);
    this.#a = Number(first & 0xffffffffn) | 0;
    this.#b = Number(first >> 32n) | 0;
    this.#c = Number(second & 0xffffffffn) | 0;
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  /** A generator seeded from this one's seed and the label. Drawing from one does not affect the other. */
  fork(label: string): Prng {
    return new Prng(`${this.#seed}/${label}`);
  }

  /** From 0 up to, not including, 1. */
  float(): number {
    return (this.#next() >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.float() * (most - least + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** Exponentially distributed, at most 20 times the mean. */
  exponential(mean: number): number {
    return Math.min(-Math.log(1 - this.float()), 20) * mean;
  }

  /** @throws RangeError if there are no items */
  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.float() * items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  /** An unsigned number of 32 bits. */
  bits(): number {
    return this.#next() >>> 0;
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum;
  }
}
