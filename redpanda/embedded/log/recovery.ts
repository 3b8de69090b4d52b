/** Opens the directory of a partition: discards incomplete writes of a crash, recovers every acknowledged record. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import type { Disk } from "../storage/disk.ts";
import { ProducerStates } from "./producers.ts";
import { isSegment, Segment, segmentPath } from "./segment.ts";

export interface Recovered {
  /** Oldest first. */
  readonly segments: [Segment, ...Segment[]];
  readonly producers: ProducerStates;
}

/** Opens the partition in `directory`, or creates an empty one. */
export async function recover(disk: Disk, directory: string, logger: Logger): Promise<Recovered> {
  await disk.makeDirectory(directory);
  const files = (await readdir(directory)).sort();
  const bases = files.filter(isSegment).map((name) => Number.parseInt(name, 10));
  // Any other file is the output of an interrupted compaction.
  for (const name of files) if (!isSegment(name)) await disk.remove(join(directory, name));
  const producers = new ProducerStates();
  const segments: Segment[] = [];
  for (const base of bases) {
    const path = segmentPath(directory, base);
    const before = segments.at(-1);
    if (before && base <= before.lastOffset) {
      // Compaction has merged this segment into the previous one.
      await disk.remove(path);
      continue;
    }
    const tail = base === bases.at(-1);
    const { segment, invalidBytes } = await Segment.load(disk, path, base, {
      tail,
      visit: (batch) => producers.record(batch, Number.POSITIVE_INFINITY),
    });
    if (invalidBytes > 0) {
      logger.warn("invalid bytes in segment", { path, bytes: invalidBytes, cutOff: tail });
    }
    segments.push(segment);
  }
  const [first = await Segment.create(disk, segmentPath(directory, 0), 0), ...others] = segments;
  return { segments: [first, ...others], producers };
}
