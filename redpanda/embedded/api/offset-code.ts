import { ErrorCode } from "../errors.ts";
import type { Committed } from "../groups/offsets.ts";
import type { Topics } from "../topics.ts";

/** offset.metadata.max.bytes of Apache Kafka. */
const MAX_METADATA_BYTES = 4096;

/** NONE, or why an offset of the partition cannot be committed. */
export function offsetCode(
  topics: Topics,
  topic: string,
  { partition, metadata }: Committed & { readonly partition: number },
): ErrorCode {
  const exists = topics.find({ name: topic, id: null })?.partitions[partition] !== undefined;
  if (!exists) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  const isTooLarge = Buffer.byteLength(metadata) > MAX_METADATA_BYTES;
  return isTooLarge ? ErrorCode.OFFSET_METADATA_TOO_LARGE : ErrorCode.NONE;
}
