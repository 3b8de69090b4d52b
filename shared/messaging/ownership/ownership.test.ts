import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownerTopic } from "../contract/define.ts";
import { encode } from "../contract/envelope.ts";
import { openDatabase, type ServiceDatabase } from "../database.ts";
import { NotOwner } from "../errors.ts";
import { on } from "../inbox/inbox.ts";
import { checkInstance } from "../instance.ts";
import { Messaging } from "../messaging.ts";
import { type Runtime, silentLogger, systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { Answer, definitions, Letter, letter, letters, parked } from "../testing/kit.ts";
import { MemoryBroker } from "../transport/memory.ts";
import type { OutgoingRecord, Transport } from "../transport/transport.ts";
import { type Claim, contentOf, recordOf } from "./claim.ts";

const OWNERS = ownerTopic("reader");
/** Every wait is shorter. */
const hasty: Runtime = {
  ...systemRuntime,
  after: (delayMs, callback) => systemRuntime.after(delayMs / 20, callback),
};

let folder: string;
let broker: MemoryBroker;
let isBrokerAway: boolean;
let running: Process[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ownership-"));
  broker = new MemoryBroker([letters, Answer.topic, parked, OWNERS], systemRuntime);
  isBrokerAway = false;
  running = [];
});
afterEach(async () => {
  for (const process of running) await process.end();
  rmSync(folder, { recursive: true });
});

/** One process of the service, on a file. */
class Process {
  readonly database: ServiceDatabase;
  readonly kit: Messaging;
  readonly handled: string[] = [];
  /** What it publishes and reads is lost, as when it is paused. */
  isPaused = false;
  /** Happens before its first claim is sent. */
  beforeClaim: (() => Promise<void>) | undefined;
  /** The broker does not take its claims. */
  claimsFail = false;
  /** How far its monotonic clock is ahead, as after a pause. */
  aheadMs = 0;
  /** Whether what it reads of the owners arrives later, and what has not arrived. */
  isReadingLater = false;
  readonly #unread: (() => void)[] = [];
  #ended = false;

  /** @param instance its name, if it is one of several */
  constructor(
    readonly path: string,
    instance?: string,
  ) {
    this.database = openDatabase(path);
    const transport: Transport = {
      publish: async (records) => {
        const isClaim = records.some(({ key }) => key === "claim");
        if (isBrokerAway || (this.claimsFail && isClaim)) throw new Error("the broker is away");
        const { beforeClaim } = this;
        if (isClaim) this.beforeClaim = undefined;
        if (isClaim) await beforeClaim?.();
        if (!this.isPaused) await broker.publish(records);
      },
      subscribe: (options) => broker.subscribe(options),
      follow: ({ deliver, caughtUp, ...options }) =>
        broker.follow({
          ...options,
          deliver: (record) =>
            this.#whenRead(() => {
              if (!this.isPaused) deliver(record);
            }),
          caughtUp: (end) => this.#whenRead(() => caughtUp(end)),
        }),
    };
    this.kit = new Messaging({
      service: "reader",
      ...(instance === undefined ? {} : { instance }),
      database: this.database,
      transport,
      ownership: true,
      definitions,
      handlers: [
        on(Letter, ({ data }, transaction) => {
          this.handled.push(data.text);
          transaction.emit(Answer, data);
        }),
      ],
      deadLetterTopic: parked.name,
      runtime: { ...hasty, monotonic: () => hasty.monotonic() + this.aheadMs },
      log: silentLogger,
    });
    this.kit.start();
    running.push(this);
  }

  get reason(): string | undefined {
    const state = this.kit.ownership();
    return state?.state === "refused" ? state.reason : state?.state;
  }

  async until(reason: string): Promise<this> {
    await eventually(() => this.reason === reason, `the process to be ${reason}, not ${this.reason}`);
    return this;
  }

  #whenRead(arrive: () => void): void {
    if (this.isReadingLater) this.#unread.push(arrive);
    else arrive();
  }

  /** What it should have read arrives, one at a time. */
  readNext(): void {
    this.#unread.shift()?.();
  }

  async write(): Promise<void> {
    await this.kit.unitOfWork.run((transaction) => {
      transaction.emit(Answer, { name: "a", text: "written" });
    });
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.kit.stop();
    this.database.close();
  }

  /** Ends without saying so. */
  async kill(): Promise<void> {
    this.isPaused = true;
    await this.end();
  }
}

const file = (name = "reader") => join(folder, `${name}.sqlite`);
const send = (...texts: string[]) => broker.publish(texts.map((text) => encode(Letter, letter("a", text))));
const claims = () =>
  broker
    .records(OWNERS.name)
    .map((record) => contentOf(record))
    .filter((content): content is Claim => content?.kind === "claim");
const copy = (name: string) => {
  for (const end of ["", "-wal"]) {
    if (existsSync(`${file()}${end}`)) cpSync(`${file()}${end}`, `${file(name)}${end}`, { force: true });
  }
  return file(name);
};
const publish = (record: OutgoingRecord) => broker.publish([record]);

test("the first process on a file is the owner, and so is each next one, at once and with the next epoch", async () => {
  const first = await new Process(file()).until("owner");
  await send("one");
  await eventually(() => first.handled.length === 1);
  await first.kill();
  const second = await new Process(file()).until("owner");
  await second.end();
  const third = await new Process(file()).until("owner");
  expect(third.kit.ownership()).toEqual({ state: "owner", epoch: 3 });
  expect(broker.records(OWNERS.name).map(({ key }) => key)).not.toContain("question");
  expect(third.handled).toEqual([]);
});

test("a second process, on an empty file, reads, sends and stores nothing, and the first one goes on", async () => {
  const first = await new Process(file()).until("owner");
  const second = await new Process(file("empty")).until("another-file");
  await send(...Array.from({ length: 20 }, (_, number) => `${number}`));
  await eventually(() => first.handled.length === 20);
  expect(second.handled).toEqual([]);
  expect(second.kit.healthy()).toBe(false);
  expect(second.write()).rejects.toBeInstanceOf(NotOwner);
  expect(first.reason).toBe("owner");
  await first.end();
  await Bun.sleep(20);
  expect(second.reason).toBe("another-file");
});

test("a copy of the file waits for an answer of the owner, and is refused", async () => {
  const first = await new Process(file()).until("owner");
  const second = await new Process(copy("copy")).until("running-elsewhere");
  expect(first.reason).toBe("owner");
  expect(second.write()).rejects.toBeInstanceOf(NotOwner);
  expect(claims().every(({ epoch }) => epoch === 1)).toBe(true);
});

test("the file goes on elsewhere when nobody answers; the former copy is refused then", async () => {
  const first = await new Process(file()).until("owner");
  await send("one");
  await eventually(() => first.handled.length === 1);
  await first.kill();
  const moved = await new Process(copy("moved")).until("owner");
  expect(broker.records(OWNERS.name).map(({ key }) => key)).toContain("question");
  const former = await new Process(file()).until("older-file");
  expect(moved.reason).toBe("owner");
  await former.end();
  // At the place of the owner as well.
  await moved.kill();
  renameSync(file(), file("moved"));
  await new Process(file("moved")).until("older-file");
});

test("an older copy is recognised by what was handled since, and takes over only when an operator says so", async () => {
  const first = await new Process(file()).until("owner");
  const backup = file("backup");
  first.database.sql.run("VACUUM INTO ?", [backup]);
  await send("one");
  await eventually(() => first.handled.length === 1);
  await eventually(() => (claims().at(-1)?.age ?? 0) > 0, "the owner to report what it has handled");
  await first.kill();
  const restored = await new Process(backup).until("older-file");
  await restored.end();
  const database = openDatabase(backup);
  database.sql.run("UPDATE ownership SET takes_over = 1");
  database.close();
  const taker = await new Process(backup).until("owner");
  await eventually(() => taker.handled.length === 1, "what it had not handled");
  await taker.end();
  // Once: the next process is on the file that was used last.
  const next = await new Process(backup).until("owner");
  expect(next.database.sql.query("SELECT takes_over FROM ownership").values()).toEqual([[0]]);
});

test("an operator cannot take over from an owner that answers", async () => {
  await new Process(file()).until("owner");
  const database = openDatabase(file("empty"));
  database.close();
  const first = await new Process(file("empty")).until("another-file");
  await first.end();
  const forced = openDatabase(file("empty"));
  forced.sql.run("UPDATE ownership SET takes_over = 1");
  forced.close();
  await new Process(file("empty")).until("running-elsewhere");
});

test("an owner that was paused and reads the claim of another stops at once", async () => {
  const paused = await new Process(file()).until("owner");
  const before = claims().at(-1);
  if (before === undefined) throw new Error("no claim");
  await publish(recordOf("reader", { ...before, epoch: 2, instance: "other", place: "elsewhere" }));
  await paused.until("taken-over");
  expect(paused.write()).rejects.toBeInstanceOf(NotOwner);
  await send("one");
  await Bun.sleep(50);
  expect(paused.handled).toEqual([]);
  expect(broker.records(Answer.topic.name)).toEqual([]);
});

/** It has been paused, and woken; what it reads arrives when it is told to. */
const paused = async () => {
  const owner = await new Process(file()).until("owner");
  owner.isReadingLater = true;
  owner.aheadMs += 6_000;
  return owner;
};
const stored = ({ database }: Process) =>
  database.sql.query("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").values().flat();

test("an owner that was paused for long stores nothing, if another one has claimed meanwhile", async () => {
  const owner = await paused();
  const written = owner.write();
  await send("one");
  const before = claims().at(-1);
  if (before === undefined) throw new Error("no claim");
  await publish(recordOf("reader", { ...before, epoch: 2, instance: "other", place: "elsewhere" }));
  await Bun.sleep(100);
  expect([owner.handled, stored(owner)]).toEqual([[], []]);
  owner.isReadingLater = false;
  for (let count = 0; count < 4; count += 1) owner.readNext();
  expect(written).rejects.toBeInstanceOf(NotOwner);
  await owner.until("taken-over");
  expect([owner.handled, stored(owner)]).toEqual([[], []]);
});

test("an owner that was paused goes on once it has read the log twice: the first answer may be older than the pause", async () => {
  const owner = await paused();
  const written = owner.write();
  for (let count = 0; count < 2; count += 1) {
    await publish(recordOf("reader", { kind: "question", instance: `${count}` }));
    await eventually(() => broker.records(OWNERS.name).length > 0);
    await Bun.sleep(20);
  }
  // A record, and that nothing is after it.
  owner.readNext();
  owner.readNext();
  await Bun.sleep(50);
  expect(stored(owner)).toEqual([]);
  owner.readNext();
  owner.readNext();
  await written;
  expect(stored(owner)).toEqual([1]);
});

test("an owner that was paused goes on after some time while the broker is away", async () => {
  const owner = await paused();
  isBrokerAway = true;
  const written = owner.write();
  await Bun.sleep(50);
  expect(stored(owner)).toEqual([]);
  owner.aheadMs += 3_000;
  await Bun.sleep(50);
  owner.aheadMs += 3_000;
  await written;
  expect(owner.reason).toBe("owner");
});

test("an owner that could not answer answers again, also if it has handled nothing since", async () => {
  const owner = await new Process(file()).until("owner");
  // What it stores when it begins is reported by then.
  await Bun.sleep(200);
  const before = claims().length;
  isBrokerAway = true;
  await publish(recordOf("reader", { kind: "question", instance: "other" }));
  await Bun.sleep(100);
  expect(claims().length).toBe(before);
  isBrokerAway = false;
  await eventually(() => claims().length > before, "an answer");
  expect(owner.reason).toBe("owner");
});

test("a take-over is not forgotten when its claim was not sent", async () => {
  const first = await new Process(file()).until("owner");
  await first.kill();
  const given = openDatabase(file("given"));
  given.close();
  await (await new Process(file("given")).until("another-file")).end();
  const forced = openDatabase(file("given"));
  forced.sql.run("UPDATE ownership SET takes_over = 1");
  forced.close();
  const failed = new Process(file("given"));
  failed.claimsFail = true;
  await eventually(
    () => Number(failed.database.sql.query("SELECT epoch FROM ownership").values()[0]?.[0]) > 1,
    "the epoch to be stored before it is sent",
  );
  await failed.kill();
  await new Process(file("given")).until("owner");
});

test("of two claims with one epoch the first counts, and its owner repeats it, since compaction keeps the last", async () => {
  const owner = await new Process(file()).until("owner");
  const mine = claims().at(-1);
  if (mine === undefined) throw new Error("no claim");
  await publish(recordOf("reader", { ...mine, instance: "late" }));
  await eventually(() => claims().at(-1)?.instance === mine.instance, "the claim to be repeated");
  expect(owner.reason).toBe("owner");
  await publish({ ...recordOf("reader", mine), value: "not a claim" });
  await publish({ ...recordOf("reader", mine), value: JSON.stringify({ ...mine, epoch: "3" }) });
  await owner.write();
  expect(owner.reason).toBe("owner");
});

test("a claim after another one with the same epoch does not count, although it was sent", async () => {
  const late = new Process(file());
  late.beforeClaim = () =>
    publish(
      recordOf("reader", {
        ...{ kind: "claim", file: "other", epoch: 1, instance: "other", place: "elsewhere" },
        ...{ since: 0, age: 0, released: false },
      }),
    );
  await late.until("another-file");
  expect(claims().map(({ file: claimed }) => claimed === "other")).toEqual([true, false]);
  expect(late.database.sql.query("SELECT owned FROM ownership").values()).toEqual([[0]]);
});

test("while the broker is away, requests are accepted, and nothing else is done until the claim is read", async () => {
  const first = await new Process(file()).until("owner");
  await first.end();
  isBrokerAway = true;
  const next = new Process(file());
  await next.write();
  await send("one");
  await Bun.sleep(100);
  expect([next.reason, next.handled]).toEqual(["unknown", []]);
  isBrokerAway = false;
  await next.until("owner");
  await eventually(() => next.handled.length === 1 && broker.records(Answer.topic.name).length === 2);
});

test("a claim whose acknowledgement was lost, or whose process ended before it was sent, keeps nobody out", async () => {
  const first = await new Process(file()).until("owner");
  await first.end();
  isBrokerAway = true;
  const failed = new Process(file());
  await eventually(
    () => Number(failed.database.sql.query("SELECT epoch FROM ownership").values()[0]?.[0]) > 1,
    "the epoch to be stored before it is sent",
  );
  await failed.kill();
  isBrokerAway = false;
  await new Process(file()).until("owner");
});

test("what a file has handled grows, also where a log is read anew", async () => {
  const owner = await new Process(file()).until("owner");
  await send("one", "two");
  await eventually(() => owner.handled.length === 2);
  const age = () => claims().at(-1)?.age ?? 0;
  await eventually(() => age() >= 3);
  const before = age();
  // As when a partition is read from its beginning.
  const { sql } = owner.database;
  sql.run("UPDATE ownership SET handled = handled + (SELECT sum(batches) FROM consumer_offsets)");
  sql.run("DELETE FROM consumer_offsets");
  await owner.end();
  expect(age()).toBeGreaterThanOrEqual(before);
  await new Process(file()).until("owner");
});

test("a process that ends in good order says so: its file is used elsewhere at once", async () => {
  const first = await new Process(file()).until("owner");
  await first.end();
  expect(claims().at(-1)?.released).toBe(true);
  await new Process(copy("moved")).until("owner");
  expect(broker.records(OWNERS.name).map(({ key }) => key)).not.toContain("question");
});

describe("of several instances", () => {
  const texts = ["one", "two", "three"];
  const sources = () =>
    broker
      .records(Answer.topic.name)
      .map(({ value }) => (JSON.parse(Buffer.from(value ?? []).toString()) as { source: string }).source);

  test("each has a file, reads every message and sends as itself, beside one without a name", async () => {
    const all = [new Process(file()), new Process(file("a"), "a"), new Process(file("b"), "b")];
    for (const process of all) await process.until("owner");
    await send(...texts);
    await eventually(() => sources().length === 9, "what each instance sends");
    for (const { handled } of all) expect(handled.toSorted()).toEqual(texts.toSorted());
    expect(new Set(sources())).toEqual(new Set(["reader", "reader/a", "reader/b"]));
    const owners = all.map(({ kit }) => kit.ownership());
    expect(owners).toEqual(Array.from({ length: 3 }, () => ({ state: "owner", epoch: 1 })));
  });

  test("none is there twice: a second process of a name is refused, on an empty file and on a copy", async () => {
    const first = await new Process(file("a"), "a").until("owner");
    const second = await new Process(file("empty"), "a").until("running-elsewhere");
    cpSync(file("a"), file("copy"));
    cpSync(`${file("a")}-wal`, `${file("copy")}-wal`);
    await new Process(file("copy"), "a").until("running-elsewhere");
    await send("one");
    await eventually(() => first.handled.length === 1);
    expect(second.handled).toEqual([]);
    // Also when the first one ends: it may be started again.
    await first.end();
    await Bun.sleep(50);
    expect(second.reason).toBe("running-elsewhere");
    await new Process(file("a"), "a").until("owner");
  });

  test("an empty file takes the place of one that is lost, and reads everything; not if the file was used", async () => {
    const lost = await new Process(file("a"), "a").until("owner");
    await send(...texts);
    await eventually(() => lost.handled.length === 3);
    await lost.kill();
    for (let count = 0; count < 3; count += 1) {
      const used = await new Process(file("b"), "b").until("owner");
      await used.end();
    }
    // Its epoch is higher than that of the other.
    await new Process(file("b"), "a").until("another-file");
    const next = await new Process(file("new"), "a").until("owner");
    await eventually(() => next.handled.length === 3, "everything to be read again");
    expect(next.kit.ownership()).toEqual({ state: "owner", epoch: 2 });
    await new Process(file("a"), "a").until("another-file");
  });

  test("an empty file takes the place although its first claim was not sent", async () => {
    const lost = await new Process(file("a"), "a").until("owner");
    await lost.kill();
    const first = await new Process(file("new"), "c").until("owner");
    await first.kill();
    // As one that ended between the two steps of a claim leaves it.
    const failed = openDatabase(file("new"));
    failed.sql.run("UPDATE ownership SET epoch = 2, instance = 'failed', owned = 0");
    failed.close();
    const next = await new Process(file("new"), "a").until("owner");
    expect(next.kit.ownership()).toEqual({ state: "owner", epoch: 3 });
  });

  test.each(["rebuild", "A", "a.b", "", "a-", "x".repeat(33)])("none is called '%s'", (name) => {
    expect(() => checkInstance(name)).toThrow("an instance cannot be called");
  });
});
