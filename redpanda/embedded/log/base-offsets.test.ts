/** Changed base offsets in a compacted log, which the checksums of its batches do not cover. */
import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode, KafkaError } from "../errors.ts";
import { PartitionLog } from "../log.ts";
import { createLogger } from "../logger.ts";
import { Disk } from "../storage/disk.ts";
import { batchOf, textsIn } from "../testing/batches.ts";
import { cleanAll, cleanUp, temporaryDirectory } from "../testing/temporary.ts";
import { parseTopicConfig } from "../topics/config.ts";
import { BaseOffsets } from "./base-offsets.ts";
import { compact } from "./compaction.ts";
import { applyRetention } from "./retention.ts";

afterEach(cleanAll);

const CONFIG = { "cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0", "retention.ms": "-1" };

class Fixture {
  readonly disk = new Disk();
  readonly lines: string[] = [];
  overrides: Record<string, string> = CONFIG;
  log!: PartitionLog;

  private constructor(readonly directory: string) {}

  /** A log that is compacted to the offsets 0 (key a), 4 (b), 8 (c) and 11 (x); 12 (x) is in the active segment. */
  static async open(): Promise<Fixture> {
    const fixture = new Fixture(await temporaryDirectory());
    await fixture.start();
    await fixture.put("a x x x b x x x c x x x");
    await fixture.log.roll();
    await fixture.put("x");
    await compact(fixture.log);
    return fixture;
  }

  async start(): Promise<void> {
    this.lines.splice(0);
    const { overrides } = this;
    const log = await PartitionLog.open(
      {
        directory: this.directory,
        disk: this.disk,
        logger: createLogger("warn", (line) => this.lines.push(line)),
        get config() {
          return parseTopicConfig(overrides);
        },
      },
      { cleanStop: true },
    );
    cleanUp(() => (log.isClosed ? undefined : log.close()));
    this.log = log;
  }

  async put(keys: string): Promise<void> {
    for (const key of keys.split(" ")) {
      await this.log.append(batchOf([{ key, value: key, timestamp: Date.now() }])).durable;
    }
  }

  /** Of the compacted segment, and what is beside it. */
  files(): string[] {
    return readdirSync(this.directory).sort();
  }

  async restartWith(change: (bytes: Buffer) => void, suffix = ".log"): Promise<void> {
    await this.log.close();
    const path = join(this.directory, this.files().find((name) => name.endsWith(suffix)) ?? "");
    const bytes = readFileSync(path);
    change(bytes);
    writeFileSync(path, bytes);
    await this.start();
  }

  /** What is read at each offset: the texts of the first batch, or the error. */
  async contents(): Promise<string[]> {
    const found: string[] = [];
    for (let offset = this.log.startOffset; offset < this.log.highWatermark; offset++) {
      const read = await this.log.read(offset, 1, true).catch((error: unknown) => {
        if (error instanceof KafkaError) return error.code;
        throw error;
      });
      found.push(typeof read === "number" ? `error ${read}` : textsIn(read).join());
    }
    return found;
  }
}

const ZEROS = "0".repeat(18);

const whole = [
  ...["0:a=a", "4:b=b", "4:b=b", "4:b=b", "4:b=b", "8:c=c", "8:c=c", "8:c=c", "8:c=c"],
  ...["11:x=x", "11:x=x", "11:x=x", "12:x=x"],
];
const CORRUPT = `error ${ErrorCode.CORRUPT_MESSAGE}`;

/** The position of the batch with this number in the compacted segment. */
function positionOf(bytes: Buffer, number: number): number {
  let position = 0;
  for (let index = 0; index < number; index++) position += 12 + bytes.readInt32BE(position + 8);
  return position;
}

test("a log that is whole is read as before, with its base offsets and without them", async () => {
  const fixture = await Fixture.open();
  expect(fixture.files()).toEqual([`${ZEROS}00.log`, `${ZEROS}00.offsets`, `${ZEROS}12.log`]);
  expect(await fixture.contents()).toEqual(whole);
  await fixture.restartWith(() => {});
  expect(await fixture.contents()).toEqual(whole);
  expect(fixture.lines).toEqual([]);
});

test.each([2, 3, 5, 7])(
  "a base offset of 4 that is changed to %i within its gap is damage",
  async (changed) => {
    const fixture = await Fixture.open();
    await fixture.restartWith((bytes) => bytes.writeBigInt64BE(BigInt(changed), positionOf(bytes, 1)));
    const damaged = whole.map((text, offset) => (offset >= 1 && offset < 8 ? CORRUPT : text));
    expect(await fixture.contents()).toEqual(damaged);
    expect(fixture.lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: "error", msg: "a segment is damaged", offsets: "1..7" },
    ]);
  },
);

test("without the file, or with a damaged one, the log is read all the same", async () => {
  const fixture = await Fixture.open();
  await fixture.restartWith((bytes) => bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20), ".offsets");
  expect(await fixture.contents()).toEqual(whole);
  expect(fixture.lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: "warn", msg: "the base offsets of a segment are damaged, and not used" },
  ]);
});

test("a file of the segment that was there before is not used", async () => {
  const fixture = await Fixture.open();
  const path = join(fixture.directory, `${ZEROS}00.offsets`);
  const before = readFileSync(path);
  await fixture.log.roll();
  await fixture.put("b");
  await fixture.log.roll();
  await fixture.put("y");
  await compact(fixture.log);
  expect(readFileSync(path)).not.toEqual(before);
  const compacted = await fixture.contents();
  await fixture.restartWith(() => {});
  expect(await fixture.contents()).toEqual(compacted);
  expect(fixture.lines).toEqual([]);
  await fixture.log.close();
  writeFileSync(path, before);
  await fixture.start();
  expect(await fixture.contents()).toEqual(compacted);
});

test("the file of the replaced segment is gone before the new segment takes its place", async () => {
  const fixture = await Fixture.open();
  await fixture.log.roll();
  await fixture.put("b");
  const atRename: string[][] = [];
  fixture.disk.fault = (operation) => {
    if (operation === "rename") atRename.push(fixture.files());
  };
  await compact(fixture.log);
  expect(atRename).toHaveLength(1);
  expect(atRename.flat().filter((name) => name.endsWith(".offsets"))).toEqual([]);
});

test("the files of merged segments are removed with them", async () => {
  const fixture = await Fixture.open();
  // Too small for two segments to be merged.
  fixture.overrides = { ...CONFIG, "segment.bytes": "14" };
  await fixture.restartWith(() => {});
  await fixture.put("y z");
  await fixture.log.roll();
  await compact(fixture.log);
  const offsets = () => fixture.files().filter((name) => name.endsWith(".offsets"));
  expect(offsets().length).toBeGreaterThan(1);
  fixture.overrides = CONFIG;
  await fixture.restartWith(() => {});
  await fixture.put("y");
  await fixture.log.roll();
  await compact(fixture.log);
  expect(offsets()).toEqual([`${ZEROS}00.offsets`]);
});

test("a compaction whose base offsets cannot be stored is complete, and leaves no part of them", async () => {
  const fixture = await Fixture.open();
  await fixture.log.roll();
  await fixture.put("b");
  fixture.disk.fault = (operation, path) => {
    if (operation === "write" && path.endsWith(".offsets")) throw new Error("full");
  };
  await compact(fixture.log);
  fixture.disk.fault = undefined;
  expect(fixture.files().filter((name) => name.endsWith(".offsets"))).toEqual([]);
  const compacted = await fixture.contents();
  await fixture.restartWith(() => {});
  expect(await fixture.contents()).toEqual(compacted);
});

test("retention removes the file with its segment", async () => {
  const fixture = await Fixture.open();
  fixture.overrides = { ...CONFIG, "retention.bytes": "1" };
  await fixture.restartWith(() => {});
  await applyRetention(fixture.log);
  expect(fixture.files()).toEqual([`${ZEROS}12.log`]);
});

test("what is stored refutes the batches of its segment with another base offset, and no other", () => {
  const offsets = new BaseOffsets();
  const batch = (number: number) => ({ checksum: number * 7, baseOffset: number * number });
  for (let number = 0; number < 100; number++) offsets.add(number * 61, batch(number));
  const decoded = BaseOffsets.decode(offsets.encode(6_100), 6_100);
  for (let number = 0; number < 100; number++) {
    const changed = { ...batch(number), baseOffset: number + 10_000 };
    expect(decoded?.refutes(number * 61, batch(number))).toBe(false);
    expect(decoded?.refutes(number * 61, changed)).toBe(true);
    expect(decoded?.refutes(number * 61 + 1, changed)).toBe(false);
    expect(decoded?.refutes(number * 61, { ...changed, checksum: 1 })).toBe(false);
  }
  expect(decoded?.refutes(6_100, batch(1))).toBe(false);
  expect(BaseOffsets.decode(offsets.encode(6_100), 6_101)).toBeUndefined();
  expect(BaseOffsets.decode(Buffer.alloc(0), 0)).toBeUndefined();
});
