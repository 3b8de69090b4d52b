import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { changesTopic } from "../contract/define.ts";
import type { IncomingRecord, OutgoingRecord } from "../transport/transport.ts";

/** What instances say of themselves in the change log. */
export interface Notice {
  /** It wants to lead; it leads and lives; it led and has ended, in good order. */
  readonly kind: "claim" | "alive" | "release";
  readonly epoch: number;
  /** Which change log this is: the first claim in it names it. Empty in those of versions without snapshots. */
  readonly log: string;
  /** The run of the process. */
  readonly instance: string;
  /** The last group that it knows to be in the log. */
  readonly seq: number;
  /** Where it answers requests; empty where it does not say. */
  readonly address: string;
}

/** What one group changed, or a part of it: a broker takes a megabyte in one record. */
export interface GroupPart {
  readonly kind: "group";
  readonly epoch: number;
  readonly log: string;
  /** One more than that of the group before, whoever led then. */
  readonly seq: number;
  /** From 1 to `parts`. */
  readonly part: number;
  readonly parts: number;
  /** As a `Capture` returns it, compressed. */
  readonly body: Uint8Array;
}

/** A record of the change log. */
export type Entry = Notice | GroupPart;

/** Below the megabyte that brokers take. */
export const PART_BYTES = 700 * 1024;

export function compress(changes: string): Uint8Array {
  return zstdCompressSync(changes);
}

export function decompress(body: Uint8Array): string {
  return zstdDecompressSync(body).toString();
}

export function recordOf(service: string, entry: Entry): OutgoingRecord {
  const { name: topic } = changesTopic(service);
  const { kind, epoch, log, seq } = entry;
  const common = { kind, epoch: String(epoch), log, seq: String(seq) };
  return entry.kind === "group"
    ? { topic, key: null, value: entry.body, headers: { ...common, part: `${entry.part}/${entry.parts}` } }
    : {
        topic,
        key: null,
        value: null,
        headers: { ...common, instance: entry.instance, address: entry.address },
      };
}

/** @returns undefined for what is none, as a later version or another client may have written it */
export function entryOf({ headers, value }: Pick<IncomingRecord, "headers" | "value">): Entry | undefined {
  const { kind, log = "", instance = "", address = "", part: position = "", ...numbers } = headers;
  const [epoch = Number.NaN, seq = Number.NaN] = ["epoch", "seq"].map((name) => Number(numbers[name]));
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) return undefined;
  if (kind === "claim" || kind === "alive" || kind === "release") {
    return { kind, epoch, log, instance, seq, address };
  }
  const [, part, parts] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(position) ?? [];
  if (kind !== "group" || value === null || part === undefined) return undefined;
  return { kind, epoch, log, seq, part: Number(part), parts: Number(parts), body: value };
}
