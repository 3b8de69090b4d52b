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
  /** The number of values from left to right. */
  readonly length: number;
  /** The smallest value at the top edge. */
  readonly least: number;
  /** The text for an unknown latest value. */
  readonly unknown?: string;
}

const WIDTH = 300;
const HEIGHT = 96;

/** A line chart. The latest value of each series is written as text too, for screen readers. */
export function Chart({ title, series, write, length, least, unknown = "no answer" }: ChartProps) {
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const top = Math.max(least, ...known);
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
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
        <path class="chart-grid" d={`M0 ${HEIGHT / 2}H${WIDTH}M0 1H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}`} />
        {series.map(({ name, values, tone }) => (
          <path key={name} class={`chart-line chart-${tone}`} d={pathOf(values, length, top)} />
        ))}
      </svg>
      <p class="chart-scale">
        <span>{length} s ago</span>
        <span>top: {write(top)}</span>
        <span>now</span>
      </p>
    </figure>
  );
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
    path += `${pen}${x} ${y}`;
    pen = "L";
  }
  return path;
}
