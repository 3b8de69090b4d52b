import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";

/*
 * How far a client has read. At the instance that wrote a cursor, a number says so exactly, whatever came late there. Another
 * instance has stored the same notifications in another order, under other numbers; what they have in common is where the
 * events are in their topic: a partition is handled in the order of its offsets.
 */

/** By partition, the last offset whose notification the client has. */
export type Offsets = ReadonlyMap<number, number>;

export interface Cursor {
  /** The database whose numbers `seq` counts. */
  readonly database: string;
  /** The number of the last notification that the client has read there. */
  readonly seq: number;
  readonly offsets: Offsets;
  /** What of that it had when it came from another instance: it is not sent again where it is stored later. */
  readonly brought: Offsets;
}

const Natural = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Pairs = Type.Array(Type.Tuple([Natural, Natural]));
const check = TypeCompiler.Compile(Type.Tuple([Type.String(), Natural, Pairs, Pairs]));

/** The first character tells a cursor from a number. */
const PREFIX = "c";
const NUMBER = /^\d{1,15}$/;

/** What `after` may look like. */
export const AFTER_PATTERN = `^(\\d{1,15}|${PREFIX}[A-Za-z0-9_-]{1,8000})$`;
const CURSOR = new RegExp(`^${PREFIX}[A-Za-z0-9_-]{1,8000}$`);

/** A cursor as clients carry it. */
export function cursorText({ database, seq, offsets, brought }: Cursor): string {
  const content = JSON.stringify([database, seq, pairsOf(offsets), pairsOf(brought)]);
  return PREFIX + Buffer.from(content).toString("base64url");
}

function pairsOf(offsets: Offsets): [partition: number, offset: number][] {
  return [...offsets].sort(([one], [other]) => one - other);
}

/** @returns a cursor, or the number of a notification of this instance; undefined when the text is neither */
export function parseAfter(text: string): Cursor | number | undefined {
  if (NUMBER.test(text)) return Number(text);
  if (!CURSOR.test(text)) return undefined;
  try {
    const content: unknown = JSON.parse(Buffer.from(text.slice(PREFIX.length), "base64url").toString());
    if (!check.Check(content)) return undefined;
    const [database, seq, offsets, brought] = content;
    return { database, seq, offsets: new Map(offsets), brought: new Map(brought) };
  } catch {
    return undefined;
  }
}

/** The cursor of a client that comes from another instance. */
export function broughtTo(database: string, { offsets }: Cursor): Cursor {
  return { database, seq: 0, offsets, brought: offsets };
}

/** The cursor after one more notification. One that came late, of an earlier offset, does not take it back. */
export function advanced(
  before: Cursor,
  seq: number,
  partition: number | null,
  offset: number | null,
): Cursor {
  if (partition === null || offset === null || (before.offsets.get(partition) ?? -1) >= offset)
    return { ...before, seq };
  return { ...before, seq, offsets: new Map(before.offsets).set(partition, offset) };
}
