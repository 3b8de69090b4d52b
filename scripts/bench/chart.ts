import { type Comparison, ratioOf } from "./comparison.ts";

const WIDTH = 920;
const ROW = 22;
const LABELS = 490;
const RIGHT = 70;
const TOP = 34;
/** Ratios beyond these are drawn at the edge, with their figure. */
const LOWEST = 0.25;
const HIGHEST = 8;

/** The ratios as an SVG: a dot for each median, a line from the lowest to the highest, on a logarithmic scale. */
export function chartOf(comparisons: readonly Comparison[]): string {
  const compared = comparisons.flatMap((comparison) => {
    const ratio = ratioOf(comparison);
    const pair = Object.keys(comparison.values).slice(0, 2).join(" : ");
    return ratio === undefined ? [] : [{ pair, label: `${comparison.section}: ${comparison.name}`, ratio }];
  });
  const rows: { readonly label: string; readonly ratio?: ReturnType<typeof ratioOf> }[] = [
    ...Map.groupBy(compared, ({ pair }) => pair),
  ].flatMap(([pair, ofPair]) => [{ label: pair }, ...ofPair]);
  const height = TOP + ROW * rows.length + 10;
  const x = (ratio: number) => {
    const share = Math.log(Math.min(HIGHEST, Math.max(LOWEST, ratio)) / LOWEST) / Math.log(HIGHEST / LOWEST);
    return (LABELS + share * (WIDTH - LABELS - RIGHT)).toFixed(1);
  };
  const scale = [0.25, 0.5, 1, 2, 4, 8].map(
    (ratio) =>
      `<line x1="${x(ratio)}" x2="${x(ratio)}" y1="${TOP - 8}" y2="${height - 8}" stroke="${ratio === 1 ? "#444" : "#ddd"}"/>` +
      `<text x="${x(ratio)}" y="${TOP - 14}" text-anchor="middle">${ratio}</text>`,
  );
  const drawn = rows.map(({ label, ratio }, index) => {
    const y = TOP + ROW * index + ROW / 2;
    const text = (weight: string) =>
      `<text x="${LABELS - 10}" y="${y + 4}" text-anchor="end"${weight}>${escaped(label)}</text>`;
    if (ratio === undefined) return text(' font-weight="bold"');
    const { median, lowest, highest } = ratio;
    return (
      text("") +
      `<line x1="${x(lowest)}" x2="${x(highest)}" y1="${y}" y2="${y}" stroke="#7a9cc6" stroke-width="4"/>` +
      `<circle cx="${x(median)}" cy="${y}" r="5" fill="#1f4e8c"/>` +
      `<text x="${WIDTH - RIGHT + 12}" y="${y + 4}">${median.toFixed(2)}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    "<title>Ratios: median, lowest and highest of the rounds</title>",
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...scale,
    ...drawn,
    "</svg>\n",
  ].join("\n");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
