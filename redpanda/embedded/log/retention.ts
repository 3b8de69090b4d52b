/**
 * Retention: deletes whole segments that are too old, exceed the size limit, or are below the log start offset.
 * Source: https://kafka.apache.org/documentation/#topicconfigs (retention.ms, retention.bytes, segment.ms).
 */
import type { PartitionLog } from "../log.ts";
import { baseOffsetsPath } from "./base-offsets.ts";
import type { Segment } from "./segment.ts";

/** Resolves when the expired segments are deleted. Rolls the active segment first when it is due. */
export async function applyRetention(log: PartitionLog, now = Date.now()): Promise<void> {
  const { config, disk } = log.options;
  const { active } = log.segments;
  const mustRoll =
    now - active.filledSince >= config.segmentMs || (config.delete && isTooOld(active, log, now));
  if (!active.isEmpty && mustRoll) await log.roll();
  const expired = expiredSegments(log, now);
  if (expired.length === 0) return;
  await log.exclusive(async () => log.segments.replace(expired, []));
  for (const segment of expired) {
    await segment.retire();
    // Oldest first, so that a crash leaves no gap.
    await disk.remove(segment.path);
    await disk.remove(baseOffsetsPath(segment.path));
  }
}

/** The oldest segments up to the first one to keep; never the active segment. */
function expiredSegments(log: PartitionLog, now: number): Segment[] {
  const { config } = log.options;
  const { all, closed } = log.segments;
  let size = all.reduce((sum, segment) => sum + segment.size, 0);
  const firstKept = closed.findIndex((segment, index) => {
    // Compaction may have removed its last records, or all: its offsets are readable all the same.
    const isUnreadable = (all[index + 1]?.baseOffset ?? 0) <= log.startOffset;
    const exceedsSize = config.retentionBytes >= 0 && size - segment.size >= config.retentionBytes;
    size -= segment.size;
    return !(isUnreadable || (config.delete && (exceedsSize || isTooOld(segment, log, now))));
  });
  return firstKept < 0 ? closed : closed.slice(0, firstKept);
}

function isTooOld(segment: Segment, log: PartitionLog, now: number): boolean {
  const { retentionMs } = log.options.config;
  // Records without a timestamp age by their arrival.
  const newest = segment.maxTimestamp < 0 ? segment.filledSince : segment.maxTimestamp;
  return retentionMs >= 0 && now - newest > retentionMs;
}
