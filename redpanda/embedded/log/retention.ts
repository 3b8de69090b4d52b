/**
 * Retention: whole segments go when they are too old or the log is too large, and when DeleteRecords made them
 * unreadable. Source: https://kafka.apache.org/documentation/#topicconfigs (retention.ms, retention.bytes, segment.ms).
 */
import type { PartitionLog } from "../log.ts";
import type { Segment } from "./segment.ts";

/** Resolves when what was to go is gone. The last segment is closed first when its time has come too. */
export async function applyRetention(log: PartitionLog, now = Date.now()): Promise<void> {
  const { config, disk } = log.options;
  const { active } = log.segments;
  const mustRoll =
    now - active.filledSince >= config.segmentMs || (config.delete && isTooOld(active, log, now));
  if (!active.isEmpty && mustRoll) await log.roll();
  const doomed = doomedSegments(log, now);
  if (doomed.length === 0) return;
  await log.exclusive(async () => log.segments.replace(doomed, []));
  for (const segment of doomed) {
    await segment.retire();
    // Oldest first: what a crash leaves is a log without a gap.
    await disk.remove(segment.path);
  }
}

/** The oldest segments, as far as each has a reason to go; never the one that is appended to. */
function doomedSegments(log: PartitionLog, now: number): Segment[] {
  const { config } = log.options;
  const { closed } = log.segments;
  let size = log.segments.all.reduce((sum, segment) => sum + segment.size, 0);
  const firstKept = closed.findIndex((segment) => {
    const isUnreadable = segment.lastOffset < log.startOffset;
    const isTooMuch = config.retentionBytes >= 0 && size - segment.size >= config.retentionBytes;
    size -= segment.size;
    return !(isUnreadable || (config.delete && (isTooMuch || isTooOld(segment, log, now))));
  });
  return firstKept < 0 ? closed : closed.slice(0, firstKept);
}

function isTooOld(segment: Segment, log: PartitionLog, now: number): boolean {
  const { retentionMs } = log.options.config;
  // Records may come without a timestamp; then the time when they came has to do.
  const newest = segment.maxTimestamp < 0 ? segment.filledSince : segment.maxTimestamp;
  return retentionMs >= 0 && now - newest > retentionMs;
}
