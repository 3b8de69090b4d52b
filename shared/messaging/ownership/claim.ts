import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { ownerTopic } from "../contract/define.ts";
import type { IncomingRecord, OutgoingRecord } from "../transport/transport.ts";

/** Says which process on which file is the service. */
export const Claim = Type.Object({
  kind: Type.Literal("claim"),
  /** The id of the database, made with it: copies of a file have the same. */
  file: Type.String(),
  /** One more than that of the claim before: of two claims with one epoch, the first in the log counts. */
  epoch: Type.Integer({ minimum: 1 }),
  /** The run of the process. */
  instance: Type.String(),
  /** Machine and file, by which a process knows that the former owner was on the same file. */
  place: Type.String(),
  /** Milliseconds since the epoch. */
  since: Type.Integer(),
  /** How much the file had handled and emitted: it only grows. A file with less is an older copy. */
  age: Type.Integer(),
  /** Whether the process has ended, in good order. */
  released: Type.Boolean(),
});
export type Claim = Static<typeof Claim>;

/** Asks whether the owner lives. It answers with its claim. */
const Question = Type.Object({ kind: Type.Literal("question"), instance: Type.String() });
export type Question = Static<typeof Question>;

/** As the file of a claim: the service has a change log, and each of its instances a file. */
export const CHANGE_LOG = "change log";

/** The claim that counts after another one was read: of two with one epoch the first, which its process may repeat. */
export function ownerAfter(before: Claim | undefined, claim: Claim): Claim {
  if (before === undefined || claim.epoch > before.epoch) return claim;
  return claim.epoch === before.epoch && claim.instance === before.instance ? claim : before;
}

const check = TypeCompiler.Compile(Type.Union([Claim, Question]));

/** @param instance of a service that runs as several: each has its own owner, and compaction keeps the last claim of each */
export function recordOf(service: string, content: Claim | Question, instance?: string): OutgoingRecord {
  const { name: topic } = ownerTopic(service);
  return {
    topic,
    key: instance === undefined ? content.kind : `${content.kind}.${instance}`,
    value: JSON.stringify(content),
    headers: { "content-type": "application/json" },
  };
}

/** The instance that a record is of; undefined for the one without a name. */
export function instanceIn({ key }: Pick<IncomingRecord, "key">): string | undefined {
  const [, instance] = key?.split(".", 2) ?? [];
  return instance;
}

/** @returns undefined for what is neither, as another version or another client may have written it */
export function contentOf({ value }: Pick<IncomingRecord, "value">): Claim | Question | undefined {
  try {
    const content: unknown = JSON.parse(value === null ? "" : Buffer.from(value).toString());
    return check.Check(content) ? content : undefined;
  } catch {
    return undefined;
  }
}
