import { deepEquals } from "bun";
import {
  type Answer,
  answers,
  CannotJoin,
  ClientProcess,
  type Codec,
  type Command,
  codecs,
  Member,
  read,
} from "./client.ts";
import {
  acksLevels,
  difference,
  plainRecords,
  randomRecord,
  recordsFor,
  timedRecords,
  timeLookups,
  type WriterLimits,
} from "./records.ts";
import type { Runtime } from "./runtime.ts";

export const features = ["produce", "read others", "groups", "admin", "times", "transactions"] as const;
export type Feature = (typeof features)[number];

/** How a client is run, and what it cannot send. */
export interface ClientUnderTest {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly limits: WriterLimits;
}

export interface Step {
  readonly feature: Feature;
  /** What the client answered. */
  readonly answer: Answer;
  /** What the script expects. `undefined`: whatever Apache Kafka gives. */
  readonly expected: Answer | undefined;
}

/** The steps of one client by their names, in their order. */
export type Transcript = Map<string, Step>;

const GROUP_PARTITIONS = 6;
/** Apache Kafka shows a change in its metadata a moment later; a group that lost a member waits for its session. */
const SETTLE_MS = 30_000;
const INTERVAL_MS = 100;

/** Error codes of the protocol: https://kafka.apache.org/protocol#protocol_error_codes */
const code = {
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  MESSAGE_TOO_LARGE: 10,
  INVALID_TOPIC_EXCEPTION: 17,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_PARTITIONS: 37,
  INVALID_CONFIG: 40,
  NON_EMPTY_GROUP: 68,
  GROUP_ID_NOT_FOUND: 69,
} as const;

/** API keys that not every runtime has. */
const IncrementalAlterConfigs = 44;
const OffsetDelete = 47;
const AddPartitionsToTxn = 24;

/** The part of the script that one client goes through by itself, and the transcript of it. */
export class Script {
  readonly transcript: Transcript = new Map();
  readonly #client: ClientUnderTest;
  readonly #runtime: Runtime;
  readonly #process: ClientProcess;

  private constructor(client: ClientUnderTest, runtime: Runtime, process: ClientProcess) {
    this.#client = client;
    this.#runtime = runtime;
    this.#process = process;
  }

  static async start(client: ClientUnderTest, runtime: Runtime): Promise<Script> {
    const command = [...client.command, runtime.brokers];
    return new Script(client, runtime, await ClientProcess.start(command, client.env));
  }

  get client(): ClientUnderTest {
    return this.#client;
  }

  get version(): string {
    return this.#process.version;
  }

  /** Everything that does not need the records of other clients. */
  async run(): Promise<void> {
    await this.#produce();
    await this.#lookUpTimes();
    await this.#administer();
    await this.#useGroup();
    if (this.#runtime.has(AddPartitionsToTxn)) await this.#useTransactions();
  }

  /** Reads what each writer has written. A client that cannot set times looks up those of another one. */
  async readAll(writers: readonly ClientUnderTest[]): Promise<void> {
    const topics = Object.fromEntries(writers.map(({ name }) => [`records-${name}`, codecs.length]));
    const answer = await this.#process.do({ do: "consume", topics, committed: false });
    const found = read(answers.records, answer)?.records;
    for (const { name, limits } of writers) {
      const count = acksLevels.flatMap((acks) => recordsFor("none", acks, limits)).length;
      const ofTopic = found?.filter(({ topic }) => topic === `records-${name}`);
      this.#record(
        name === this.#client.name ? "produce" : "read others",
        `reads what ${name} wrote`,
        ofTopic === undefined ? answer : difference(ofTopic, limits),
        Object.fromEntries(codecs.map((codec) => [codec, `${count} records`])),
      );
    }
    if (this.#client.limits.timestamps !== false) return;
    const timed = writers.find(({ limits }) => limits.timestamps !== false);
    if (timed === undefined) return;
    for (const [partition, codec] of codecs.entries())
      await this.#lookUp(`times-${timed.name}`, partition, codec);
  }

  async end(): Promise<void> {
    await this.#process.end();
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  #record(feature: Feature, name: string, answer: Answer, expected?: Answer): void {
    if (this.transcript.has(name)) throw new Error(`two steps are called "${name}"`);
    this.transcript.set(name, { feature, answer, expected });
  }

  /** Does a command once. */
  async #step(feature: Feature, name: string, command: Command, expected?: Answer): Promise<Answer> {
    const answer = await this.#process.do(command);
    this.#record(feature, name, answer, expected);
    return answer;
  }

  /** Does a command that changes nothing until its answer is the expected one. */
  async #until(feature: Feature, name: string, command: Command, expected: Answer): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const answer = await this.#process.do(command);
      if (deepEquals(answer, expected) || "lacks" in answer || performance.now() > deadline) {
        this.#record(feature, name, answer, expected);
        return;
      }
      await Bun.sleep(INTERVAL_MS);
    }
  }

  async #produce(): Promise<void> {
    const topic = `records-${this.#client.name}`;
    await this.#runtime.createTopic(topic, codecs.length);
    for (const [partition, codec] of codecs.entries()) {
      for (const acks of acksLevels) {
        const idempotent = acks === "idempotent";
        const records = recordsFor(codec, acks, this.#client.limits);
        const command = { topic, partition, codec, acks: idempotent ? "all" : acks, idempotent, records };
        const before = await this.#runtime.end(topic, partition);
        const answer = await this.#process.do({ do: "produce", ...command });
        // With acks=0 the client does not know when they are stored.
        const stored = await this.#runtime.untilEnd(topic, partition, before + records.length);
        this.#record("produce", `produces ${codec} with ${acks}`, { ...answer, stored }, { stored: true });
      }
      this.#record("produce", `batches in ${codec}`, await this.#runtime.batches(topic, partition), {
        codecs: [codec],
        withProducerId: true,
        withoutProducerId: true,
      });
    }
    const small = `small-${this.#client.name}`;
    await this.#runtime.createTopic(small, 1, { "max.message.bytes": "1000" });
    const tooLarge = { topic: small, partition: 0, codec: "none", acks: "all", idempotent: false };
    await this.#step(
      "produce",
      "a batch that is too large",
      { do: "produce", ...tooLarge, records: [randomRecord(5_000)] },
      { error: code.MESSAGE_TOO_LARGE },
    );
  }

  async #lookUpTimes(): Promise<void> {
    if (this.#client.limits.timestamps === false) return;
    const topic = `times-${this.#client.name}`;
    await this.#runtime.createTopic(topic, codecs.length);
    for (const [partition, codec] of codecs.entries()) {
      const records = timedRecords(codec);
      const command = { do: "produce", topic, partition, codec, acks: "all", idempotent: false, records };
      await this.#step("times", `produces at times, ${codec}`, command, {});
      await this.#lookUp(topic, partition, codec);
    }
  }

  async #lookUp(topic: string, partition: number, codec: Codec): Promise<void> {
    const timestamps = timeLookups.map(([timestamp]) => timestamp);
    const offsets = timeLookups.map(([, offset]) => offset);
    const command = { do: "offsets-for-times", topic, partition, timestamps };
    await this.#step("times", `offsets for times, ${codec}`, command, { offsets });
  }

  async #administer(): Promise<void> {
    const topic = `admin-${this.#client.name}`;
    const configs = {
      "retention.ms": "3600000",
      "cleanup.policy": "compact",
      "max.message.bytes": "2000000",
    };
    const step = (name: string, command: Command, expected?: Answer) =>
      this.#step("admin", name, command, expected);
    const until = (name: string, command: Command, expected: Answer) =>
      this.#until("admin", name, command, expected);
    const create = { do: "create-topic", topic, partitions: 2, configs };
    const created = await step("creates a topic", create, {});
    if ("lacks" in created) return;
    await step("creates it again", create, { error: code.TOPIC_ALREADY_EXISTS });
    const invalid = { ...create, topic: `${topic}-2` };
    await step(
      "creates a topic with an invalid value",
      { ...invalid, configs: { "cleanup.policy": "keep" } },
      { error: code.INVALID_CONFIG },
    );
    await step(
      "creates a topic with an unknown configuration",
      { ...invalid, configs: { "no.such.configuration": "1" } },
      { error: code.INVALID_CONFIG },
    );
    await step(
      "creates a topic with an invalid name",
      { ...invalid, topic: "a b" },
      { error: code.INVALID_TOPIC_EXCEPTION },
    );
    await step(
      "creates a topic without partitions",
      { ...invalid, partitions: 0 },
      { error: code.INVALID_PARTITIONS },
    );
    const describe = { do: "describe-topic", topic };
    await until("describes the topic", describe, { partitions: 2 });
    const names = [...Object.keys(configs), "min.insync.replicas", "compression.type", "delete.retention.ms"];
    const describeConfigs = { do: "describe-configs", topic, names };
    const defaults = {
      "min.insync.replicas": "1",
      "compression.type": "producer",
      "delete.retention.ms": "86400000",
    };
    await until("describes its configuration", describeConfigs, { configs: { ...configs, ...defaults } });
    if (this.#runtime.has(IncrementalAlterConfigs))
      await this.#alterConfigs(topic, { ...configs, ...defaults });
    await step("adds partitions", { do: "create-partitions", topic, partitions: 4 }, {});
    await until("describes the larger topic", describe, { partitions: 4 });
    await step(
      "removes partitions",
      { do: "create-partitions", topic, partitions: 3 },
      { error: code.INVALID_PARTITIONS },
    );
    await this.#deleteRecords();
    await step("deletes the topic", { do: "delete-topic", topic }, {});
    await until("describes the deleted topic", describe, { error: code.UNKNOWN_TOPIC_OR_PARTITION });
    await step("deletes it again", { do: "delete-topic", topic }, { error: code.UNKNOWN_TOPIC_OR_PARTITION });
  }

  async #alterConfigs(topic: string, configs: Readonly<Record<string, string>>): Promise<void> {
    const alter = (changed: Readonly<Record<string, string>>) => ({
      do: "alter-configs",
      topic,
      configs: changed,
    });
    const changed = { "retention.ms": "7200000" };
    const altered = await this.#step("admin", "alters its configuration", alter(changed), {});
    if ("lacks" in altered) return;
    const describe = { do: "describe-configs", topic, names: Object.keys(configs) };
    await this.#until("admin", "describes the altered one", describe, {
      configs: { ...configs, ...changed },
    });
    const invalid = alter({ "cleanup.policy": "keep" });
    await this.#step("admin", "alters it to an invalid value", invalid, { error: code.INVALID_CONFIG });
  }

  async #deleteRecords(): Promise<void> {
    const topic = `deleted-records-${this.#client.name}`;
    await this.#runtime.createTopic(topic, 1);
    const values = Array.from({ length: 10 }, (_, index) => `value ${index}`);
    await this.#runtime.produce(topic, 0, plainRecords(...values));
    const remove = { do: "delete-records", topic, partition: 0 };
    await this.#step("admin", "deletes records", { ...remove, before: 4 }, { low: 4 });
    const command = { do: "consume", topics: { [topic]: 1 }, committed: false };
    const answer = await this.#process.do(command);
    const left = read(answers.records, answer)?.records;
    const offsets = left?.map(({ offset }) => offset);
    this.#record("admin", "reads what is left", offsets ? { offsets } : answer, {
      offsets: [4, 5, 6, 7, 8, 9],
    });
    await this.#step(
      "admin",
      "deletes records beyond the end",
      { ...remove, before: 99 },
      { error: code.OFFSET_OUT_OF_RANGE },
    );
  }

  async #useGroup(): Promise<void> {
    const topic = `group-${this.#client.name}`;
    const group = `members-of-${this.#client.name}`;
    await this.#runtime.createTopic(topic, GROUP_PARTITIONS);
    const members: Member[] = [];
    const join = async () => {
      const command = [...this.#client.command, this.#runtime.brokers];
      const member = await Member.join(command, this.#client.env, group, topic);
      members.push(member);
      return member;
    };
    const record = (name: string, answer: Answer, expected: Answer) =>
      this.#record("groups", name, answer, expected);
    try {
      const first = await join();
      const second = await join();
      record("two members", await this.#shared(first, second), { shares: [3, 3] });
      record("they receive", await this.#received(topic, "a", first, second), { missing: [] });
      const third = await join();
      record("a third one joins", await this.#shared(first, second, third), { shares: [2, 2, 2] });
      record("all three receive", await this.#received(topic, "b", first, second, third), { missing: [] });
      await this.#step(
        "groups",
        "describes the group",
        { do: "describe-group", group },
        { state: "Stable", members: 3 },
      );
      await this.#step(
        "groups",
        "deletes it while it has members",
        { do: "delete-group", group },
        { error: code.NON_EMPTY_GROUP },
      );
      await first.leave();
      record("the first one leaves", await this.#shared(second, third), { shares: [3, 3] });
      await second.kill();
      record("the second one is killed", await this.#shared(third), { shares: [6] });
      record("the last one receives", await this.#received(topic, "c", third), { missing: [] });
      await this.#untilCommitted(group, topic, 3);
      await third.leave();
      const fourth = await join();
      record("another one takes over", await this.#shared(fourth), { shares: [6] });
      record("it receives", await this.#received(topic, "d", fourth), { missing: [] });
      record(
        "nothing twice",
        { twice: [...fourth.received].filter((text) => !text.endsWith("d")) },
        { twice: [] },
      );
      await this.#untilCommitted(group, topic, 4);
      await fourth.leave();
      await this.#administerGroup(group, topic);
    } catch (error) {
      if (!(error instanceof CannotJoin)) throw error;
      record("joins a group", { lacks: error.message }, {});
    } finally {
      await Promise.all(members.map((member) => member.kill()));
    }
  }

  async #administerGroup(group: string, topic: string): Promise<void> {
    const step = (name: string, command: Command, expected?: Answer) =>
      this.#step("groups", name, command, expected);
    const until = (name: string, command: Command, expected: Answer) =>
      this.#until("groups", name, command, expected);
    const committed = { do: "committed", group, topic, partitions: GROUP_PARTITIONS };
    await step("committed offsets", committed, {
      offsets: Array.from({ length: GROUP_PARTITIONS }, () => 4),
    });
    await until("describes the empty group", { do: "describe-group", group }, { state: "Empty", members: 0 });
    const listed = await this.#process.do({ do: "list-groups" });
    const groups = read(answers.groups, listed)?.groups;
    const answer = groups === undefined ? listed : { listed: groups.includes(group) };
    this.#record("groups", "lists groups", answer, { listed: true });
    if (this.#runtime.has(OffsetDelete)) {
      const deleted = await step(
        "deletes a committed offset",
        { do: "delete-offsets", group, topic, partition: 0 },
        {},
      );
      if (!("lacks" in deleted))
        await step("committed offsets without it", committed, { offsets: [-1, 4, 4, 4, 4, 4] });
    }
    await step("deletes the group", { do: "delete-group", group }, {});
    await step("deletes the group again", { do: "delete-group", group }, { error: code.GROUP_ID_NOT_FOUND });
    await step("describes the deleted group", { do: "describe-group", group });
  }

  /** Waits until each partition has one of these members, and all members have as many. */
  async #shared(...members: Member[]): Promise<Answer> {
    const shares = () => members.map(({ partitions }) => partitions.length);
    const isShared = () => {
      const all = new Set(members.flatMap(({ partitions }) => partitions));
      return (
        all.size === GROUP_PARTITIONS &&
        shares().every((share) => share === GROUP_PARTITIONS / members.length)
      );
    };
    await this.#eventually(isShared);
    if (isShared()) return { shares: shares() };
    // Only the client knows why it does not take part.
    return { shares: shares(), errors: members.map(({ errors }) => errors) };
  }

  /** Produces a record to each partition, and waits until the members have them. */
  async #received(topic: string, value: string, ...members: Member[]): Promise<Answer> {
    const wanted = Array.from({ length: GROUP_PARTITIONS }, (_, partition) => `${partition} ${value}`);
    for (let partition = 0; partition < GROUP_PARTITIONS; partition++) {
      await this.#runtime.produce(topic, partition, plainRecords(value));
    }
    const missing = () => wanted.filter((text) => !members.some(({ received }) => received.has(text)));
    await this.#eventually(() => missing().length === 0);
    return { missing: missing() };
  }

  /** Members commit what they have printed a moment later. */
  async #untilCommitted(group: string, topic: string, offset: number): Promise<void> {
    const committed = await this.#runtime.untilCommitted(group, topic, GROUP_PARTITIONS, offset);
    this.#record("groups", `commits ${offset} records of each partition`, { committed }, { committed: true });
  }

  async #eventually(holds: () => boolean): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    while (!holds() && performance.now() < deadline) await Bun.sleep(INTERVAL_MS);
  }

  async #useTransactions(): Promise<void> {
    const topic = `transactions-${this.#client.name}`;
    await this.#runtime.createTopic(topic, 1);
    const base = { topic, partition: 0, id: `id-${this.#client.name}` };
    const transaction = (end: string, ...values: string[]) => {
      return { do: "transaction", ...base, end, records: plainRecords(...values) };
    };
    const step = (name: string, command: Command, expected?: Answer) =>
      this.#step("transactions", name, command, expected);
    const first = await step("commits a transaction", transaction("commit", "a", "b"), {});
    if ("lacks" in first) return;
    await step("aborts one", transaction("abort", "c"), {});
    await this.#readTransactions(topic, "reads what was committed", true, ["a", "b"]);
    await this.#readTransactions(topic, "reads everything", false, ["a", "b", "c"]);
    await step("is fenced by a producer with its id", { do: "fence", ...base, records: plainRecords("d") });
    await this.#readTransactions(topic, "reads what the other one committed", true, ["a", "b", "d"]);
  }

  async #readTransactions(topic: string, name: string, committed: boolean, values: string[]): Promise<void> {
    const answer = await this.#process.do({ do: "consume", topics: { [topic]: 1 }, committed });
    const found = read(answers.records, answer)?.records;
    const texts = found?.map(({ value }) => Buffer.from(value ?? "", "base64").toString());
    this.#record("transactions", name, texts === undefined ? answer : { values: texts }, { values });
  }
}
