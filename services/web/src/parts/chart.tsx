interface Series {
  readonly name: string;
  /** Oldest first; `null` for an unknown value. */
  readonly values: readonly (number | null)[];
  readonly tone: "green" | "copper";
}

interface ChartProps {
  readonly title: string;
  readonly series: readonly Series[];
  /** Formats a value. */
  readonly write: (value: number) => string;
  /** For each second from left to right, whether a process did not run. */
  readonly outages: readonly boolean[];
  /** The smallest value at the top edge. */
  readonly least: number;
  /** The text for an unknown latest value. */
  readonly unknown?: string;
}

const WIDTH = 300;
const HEIGHT = 96;
/** Those of the shortest time span, at one a second. */
const LEAST_POINTS = 16;

/** A line chart. The latest value of each series is written as text too, for screen readers. */
export function Chart({ title, series, write, outages, least, unknown = "no answer" }: ChartProps) {
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const top = roundUp(Math.max(least, ...known));
  // A short run is at the right edge.
  const length = Math.max(LEAST_POINTS, outages.length);
  const before = length - outages.length;
  const step = WIDTH / Math.max(1, length - 1);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <dl>
        {series.map(({ name, values, tone }) => (
          <div key={name} class={`chart-key chart-${tone}`}>
            <dt>{name}</dt>
            <dd data-figure={name}>{latest(values, write, unknown)}</dd>
          </div>
        ))}
      </dl>
      <div class="chart-plot">
        <p class="chart-values" aria-hidden="true">
          <span>{write(top)}</span>
          <span>{write(top / 2)}</span>
          <span>0</span>
        </p>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          aria-hidden="true"
          focusable="false"
        >
          {outages.map(
            (outage, index) =>
              outage && (
                <rect
                  key={`${index}`}
                  class="chart-outage"
                  x={(before + index - 0.5) * step}
                  y="0"
                  width={step}
                  height={HEIGHT}
                />
              ),
          )}
          <path class="chart-grid" d={`M0 ${HEIGHT / 2}H${WIDTH}M0 1H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}`} />
          {series.map(({ name, values, tone }) => (
            <path key={name} class={`chart-line chart-${tone}`} d={pathOf(values, length, top)} />
          ))}
        </svg>
      </div>
      <p class="chart-scale">
        <span>{length - 1} s ago</span>
        {outages.includes(true) && <span class="chart-outage-key">a process did not run</span>}
        <span>now</span>
      </p>
    </figure>
  );
}

/** The next of 1, 2, 5, 10, 20, 50, … */
export function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5].find((one) => one * power >= value) ?? 10;
  return factor * power;
}

function latest(
  values: readonly (number | null)[],
  write: (value: number) => string,
  unknown: string,
): string {
  const last = values.at(-1);
  return last === undefined ? "–" : last === null ? unknown : write(last);
}

/** An SVG path with a gap for each unknown value; the last value is at the right edge. */
export function pathOf(values: readonly (number | null)[], length: number, top: number): string {
  const step = WIDTH / Math.max(1, length - 1);
  const offset = length - values.length;
  let path = "";
  let pen = "M";
  for (const [index, value] of values.entries()) {
    if (value === null) {
      pen = "M";
      continue;
    }
    const x = ((offset + index) * step).toFixed(1);
    const y = (HEIGHT - 2 - (value / top) * (HEIGHT - 4)).toFixed(1);
    // A point by itself is a line without a length, with a round cap.
    path += pen === "M" ? `M${x} ${y}h0` : `L${x} ${y}`;
    pen = "L";
  }
  return path;
}
