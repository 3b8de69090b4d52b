/// <reference path="./kafkajs-internals.d.ts" />
import { createErrorFromCode } from "kafkajs/src/protocol/error.js";
import type { PublishFailure } from "../transport.ts";

/** Codes of https://kafka.apache.org/protocol#protocol_error_codes by what they say about a record. */
const RECORD_CODES: ReadonlySet<number> = new Set([
  10, // MESSAGE_TOO_LARGE
  18, // RECORD_LIST_TOO_LARGE
  32, // INVALID_TIMESTAMP
  44, // POLICY_VIOLATION
  87, // INVALID_RECORD
]);
const TOPIC_CODES: ReadonlySet<number> = new Set([
  3, // UNKNOWN_TOPIC_OR_PARTITION
  17, // INVALID_TOPIC_EXCEPTION
  29, // TOPIC_AUTHORIZATION_FAILED
]);

/** The error of kafkajs for an error code of the protocol. */
export function errorOfCode(code: number): ReturnType<typeof createErrorFromCode> {
  return createErrorFromCode(code);
}

/** The topic has fewer partitions than its definition: the keys cannot be distributed as they are to be. */
export class TooFewPartitions extends Error {
  override readonly name = "TooFewPartitions";
}

/** What an error of kafkajs or of the broker is about. Any that is not known may pass, so it is transient. */
export function failureScope(error: unknown): Exclude<PublishFailure["scope"], "unsent"> {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code: unknown = "code" in cause ? cause.code : undefined;
    if (typeof code === "number" && RECORD_CODES.has(code)) return "record";
    if (typeof code === "number" && TOPIC_CODES.has(code)) return "topic";
    // Metadata without partitions.
    if (cause instanceof TooFewPartitions) return "held";
    if (cause.name === "KafkaJSMetadataNotLoaded") return "topic";
  }
  return "transient";
}
