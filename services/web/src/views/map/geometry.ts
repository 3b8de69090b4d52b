export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where the parts of the map are, in pixels. */
export interface MapPlan {
  readonly height: number;
  readonly centers: ReadonlyMap<string, Point>;
  /** Half of the size of a part. */
  readonly half: Point;
  /** The broker's size, as a share of that. */
  readonly brokerShare: number;
}

export const BROKER = "broker";
export const BROWSER = "browser";

/** The services that talk to the browser are at its side of the broker, all others at the other side. */
const browserSide = ["api-gateway", "notification"];

/** Half of the height of the browser, in pixels. */
const BROWSER_HALF = 28;
/** Below this width the large map is in rows. */
const ROWS_BELOW = 860;
/** Below this width the compact map leaves the browser out. */
const NARROW_BELOW = 480;

/**
 * @param services all that talk over the broker
 * @param width of the map, in pixels
 */
export function planMap(services: readonly string[], width: number, isLarge: boolean): MapPlan {
  const left = services.filter((name) => browserSide.includes(name));
  const right = services.filter((name) => !browserSide.includes(name));
  if (!isLarge) return inColumns(left, right, width, width < NARROW_BELOW ? narrow : compact);
  return width < ROWS_BELOW ? inRows(left, right, width) : inColumns(left, right, width, large);
}

interface Columns {
  /** Half of the largest size of a part. */
  readonly half: Point;
  /** The height of a column for each of its parts. */
  readonly pitch: number;
  readonly leastGap: number;
  readonly withBrowser: boolean;
  /** The width of the broker's column, as a share of another one's: its name is short. */
  readonly brokerShare: number;
}

const large: Columns = {
  half: { x: 104, y: 58 },
  pitch: 150,
  leastGap: 20,
  withBrowser: true,
  brokerShare: 1,
};
const compact: Columns = {
  half: { x: 65, y: 14 },
  pitch: 38,
  leastGap: 16,
  withBrowser: true,
  brokerShare: 1,
};
const narrow: Columns = {
  half: { x: 62, y: 14 },
  pitch: 38,
  leastGap: 8,
  withBrowser: false,
  brokerShare: 0.65,
};

/** The browser, its services, the broker, the other services: one column each, with equal gaps. */
function inColumns(
  left: readonly string[],
  right: readonly string[],
  width: number,
  { half: most, pitch, leastGap, withBrowser, brokerShare }: Columns,
): MapPlan {
  const columns = [...(withBrowser ? [[BROWSER]] : []), left, [BROKER], right];
  const fitting = (width - (columns.length - 1) * leastGap) / (2 * (columns.length - 1 + brokerShare));
  const half = { x: Math.min(most.x, fitting), y: most.y };
  const height = pitch * Math.max(2, left.length, right.length);
  const halves = columns.map(([name = ""]) => halfOf(name, { half, brokerShare }).x);
  const gap = (width - 2 * halves.reduce((sum, one) => sum + one, 0)) / (columns.length - 1);
  const centers = new Map<string, Point>();
  let start = 0;
  for (const [column, names] of columns.entries()) {
    const halfWidth = halves[column] ?? 0;
    for (const [index, name] of names.entries()) {
      centers.set(name, { x: start + halfWidth, y: ((index + 0.5) / names.length) * height });
    }
    start += 2 * halfWidth + gap;
  }
  return { height, centers, half, brokerShare };
}

/** The browser, its services, the broker, the other services: two in a row. */
function inRows(first: readonly string[], last: readonly string[], width: number): MapPlan {
  const half = { x: Math.min(width / 4 - 6, 120), y: 56 };
  const gap = 34;
  const pitch = 2 * half.y + gap;
  const centers = new Map<string, Point>([[BROWSER, { x: width / 2, y: BROWSER_HALF }]]);
  let y = 2 * BROWSER_HALF + gap - 8 + half.y;
  const left = half.x < 120 ? half.x : width / 4;
  for (const names of [first, [BROKER], last]) {
    for (const [index, name] of names.entries()) {
      const isAlone = names.length % 2 === 1 && index === names.length - 1;
      centers.set(name, { x: isAlone ? width / 2 : index % 2 === 0 ? left : width - left, y });
      if (index % 2 === 1 || index === names.length - 1) y += pitch;
    }
  }
  return { height: y - pitch + half.y, centers, half, brokerShare: 1 };
}

/** Half of the size of a part: the browser has less to show, and the broker has a short name. */
export function halfOf(name: string, { half, brokerShare }: Pick<MapPlan, "half" | "brokerShare">): Point {
  if (name === BROKER) return { x: half.x * brokerShare, y: half.y };
  return name === BROWSER ? { x: Math.min(half.x, 84), y: Math.min(half.y, BROWSER_HALF) } : half;
}

/** The point on the way from one part to another at which a line leaves the first. */
export function edgeOf(from: Point, to: Point, half: Point): Point {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const share = Math.min(half.x / Math.abs(dx || 1e-9), half.y / Math.abs(dy || 1e-9), 1);
  return { x: from.x + dx * share, y: from.y + dy * share };
}
