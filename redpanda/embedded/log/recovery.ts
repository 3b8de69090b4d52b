/**
 * Opens the directory of a partition. The end of the last segment may be an unfinished write of a crash; after an unclean
 * stop it is moved to a file beside the segment. Any other invalid bytes are damage: they stay where they are, and a read
 * of their offsets fails.
 */
import { join } from "node:path";
import { ProducerStates } from "./producers.ts";
import { isSegment, Segment, segmentPath } from "./segment.ts";
import type { LogOptions } from "./writer.ts";

export interface Recovered {
  /** Oldest first. */
  readonly segments: [Segment, ...Segment[]];
  readonly producers: ProducerStates;
}

/**
 * Opens the partition, or creates an empty one.
 * @param cleanStop whether the broker that wrote it stopped cleanly, so that no write is unfinished.
 * @param hasGaps whether the log may have been compacted, so that offsets may be missing.
 */
export async function recover(options: LogOptions, cleanStop: boolean, hasGaps: boolean): Promise<Recovered> {
  const segments: Segment[] = [];
  try {
    return await open(options, cleanStop, hasGaps, segments);
  } catch (error) {
    for (const segment of segments) await segment.retire();
    throw error;
  }
}

async function open(
  options: LogOptions,
  cleanStop: boolean,
  hasGaps: boolean,
  segments: Segment[],
): Promise<Recovered> {
  const { disk, directory, logger } = options;
  await disk.makeDirectory(directory);
  const files = (await disk.list(directory)).sort();
  const bases = files.filter(isSegment).map((name) => Number.parseInt(name, 10));
  for (const name of files) {
    // The output of an interrupted compaction.
    if (name.endsWith(".compacted")) await disk.remove(join(directory, name));
  }
  const producers = new ProducerStates();
  for (const [index, base] of bases.entries()) {
    const path = segmentPath(directory, base);
    const before = segments.at(-1);
    if (before && base <= before.lastOffset) {
      // A crash during compaction leaves a segment that was merged into the previous one.
      const keptIn = `${path}.merged-${Date.now()}`;
      await disk.rename(path, keptIn);
      logger.warn("a segment that an earlier one includes was set aside", { path, keptIn });
      continue;
    }
    const nextBase = bases[index + 1];
    const isLast = nextBase === undefined;
    const segment = await Segment.load(disk, path, base, {
      nextBase,
      // The last segment is appended to, and not compacted.
      hasGaps: hasGaps && !isLast,
      below: hasGaps && !cleanStop && !isLast ? bases.at(-1) : nextBase,
      visit: (batch) => producers.record(batch, Number.POSITIVE_INFINITY),
    });
    segments.push(segment);
    const torn = isLast && !cleanStop ? await segment.cutOffTail(disk) : undefined;
    if (torn) logger.warn("the torn tail of a segment was cut off", { path, ...torn });
    for (const { position, end, firstOffset, nextOffset } of segment.damages) {
      const offsets = `${firstOffset}..${nextOffset === undefined ? "?" : nextOffset - 1}`;
      logger.error("a segment is damaged", { path, position, bytes: end - position, offsets });
    }
  }
  if (segments.length === 0) segments.push(await Segment.create(disk, segmentPath(directory, 0), 0));
  const [first, ...others] = segments;
  if (!first) throw new Error("a log has a segment");
  return { segments: [first, ...others], producers };
}
