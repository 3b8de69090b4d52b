/**
 * Opens the directory of a partition. The end of the last segment may be an unfinished write of a crash; after an unclean
 * stop it is moved to a file beside the segment. Any other invalid bytes are damage: they stay where they are, and a read
 * of their offsets fails.
 */
import { basename, join } from "node:path";
import type { Logger } from "../logger.ts";
import { baseOffsetsPath, readBaseOffsets } from "./base-offsets.ts";
import { ProducerStates, type ProducersSummary } from "./producers.ts";
import { isSegment, Segment, type SegmentSummary, segmentPath } from "./segment.ts";
import type { LogOptions } from "./writer.ts";

/** What a clean stop records of a partition, so that the next start does not have to read it. */
export interface LogSummary {
  readonly segments: readonly SegmentSummary[];
  readonly producers: ProducersSummary;
}

export interface Recovered {
  /** Oldest first. */
  readonly segments: [Segment, ...Segment[]];
  readonly producers: ProducerStates;
}

export interface RecoveryOptions {
  /** Whether the broker that wrote the files stopped cleanly, so that no write is unfinished. */
  readonly cleanStop: boolean;
  /** Whether the log may have been compacted, so that offsets may be missing. */
  readonly hasGaps: boolean;
  /** Of the clean stop: if it fits to the files, they are verified later. */
  readonly summary?: LogSummary | undefined;
}

/** Opens the partition, or creates an empty one. */
export async function recover(options: LogOptions, recovery: RecoveryOptions): Promise<Recovered> {
  const { cleanStop, hasGaps, summary } = recovery;
  const segments: Segment[] = [];
  try {
    if (!cleanStop || !summary) return await open(options, recovery, segments);
    const summarized = await openSummarized(options, summary, hasGaps, segments);
    if (summarized) return summarized;
    options.logger.error("the segments are not those of the last stop", { log: options.directory });
    return await open(options, recovery, segments);
  } catch (error) {
    for (const segment of segments) await segment.retire();
    throw error;
  }
}

async function open(
  options: LogOptions,
  { cleanStop, hasGaps, summary }: RecoveryOptions,
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
  const last = summary?.segments.at(-1);
  for (const [index, base] of bases.entries()) {
    const path = segmentPath(directory, base);
    const before = segments.at(-1);
    if (before && base <= before.lastOffset) {
      // A crash during compaction leaves a segment that was merged into the previous one.
      const keptIn = `${path}.merged-${Date.now()}`;
      await disk.rename(path, keptIn);
      await disk.remove(baseOffsetsPath(path));
      logger.warn("a segment that an earlier one includes was set aside", { path, keptIn });
      continue;
    }
    const isLast = index === bases.length - 1;
    const knownEnd = last?.baseOffset === base ? last.lastOffset + 1 : undefined;
    const nextBase = bases[index + 1] ?? knownEnd;
    const segment = await Segment.load(disk, path, base, {
      nextBase,
      // The last segment is appended to, and not compacted.
      hasGaps: hasGaps && !isLast,
      baseOffsets: (size) => readBaseOffsets(disk, path, size, logger),
      below: hasGaps && !cleanStop && !isLast ? bases.at(-1) : nextBase,
      visit: (batch) => producers.record(batch, Number.POSITIVE_INFINITY),
    });
    segments.push(segment);
    const torn = isLast && !cleanStop ? await segment.cutOffTail(disk) : undefined;
    if (torn) logger.warn("the torn tail of a segment was cut off", { path, ...torn });
    reportDamages(segment, logger);
  }
  if (segments.length === 0) segments.push(await Segment.create(disk, segmentPath(directory, 0), 0));
  return { segments: atLeastOne(segments), producers };
}

/** Undefined, and no segment is open, when the files are others than those of the summary. */
async function openSummarized(
  { disk, directory, logger }: LogOptions,
  { segments: summaries, producers }: LogSummary,
  hasGaps: boolean,
  segments: Segment[],
): Promise<Recovered | undefined> {
  const files = (await disk.list(directory)).filter((name) => isSegment(name) || name.endsWith(".compacted"));
  const expected = summaries.map(({ baseOffset }) => basename(segmentPath(directory, baseOffset)));
  let fits = summaries.length > 0 && files.sort().join() === expected.join();
  for (const [index, summary] of summaries.entries()) {
    if (!fits) break;
    const isLast = index === summaries.length - 1;
    const nextBase = summaries[index + 1]?.baseOffset ?? summary.lastOffset + 1;
    const path = segmentPath(directory, summary.baseOffset);
    const load = {
      nextBase,
      hasGaps: hasGaps && !isLast,
      baseOffsets: (size: number) => readBaseOffsets(disk, path, size, logger),
      below: nextBase,
    };
    const segment = await Segment.open(disk, path, summary, load, (damaged) =>
      reportDamages(damaged, logger),
    );
    if (segment) segments.push(segment);
    fits = segment !== undefined;
  }
  if (fits) return { segments: atLeastOne(segments), producers: new ProducerStates(producers) };
  for (const segment of segments.splice(0)) await segment.retire();
  return undefined;
}

function reportDamages({ path, damages }: Segment, logger: Logger): void {
  for (const { position, end, firstOffset, nextOffset } of damages) {
    const offsets = `${firstOffset}..${nextOffset === undefined ? "?" : nextOffset - 1}`;
    logger.error("a segment is damaged", { path, position, bytes: end - position, offsets });
  }
}

function atLeastOne([first, ...others]: readonly Segment[]): [Segment, ...Segment[]] {
  if (!first) throw new Error("a log has a segment");
  return [first, ...others];
}
