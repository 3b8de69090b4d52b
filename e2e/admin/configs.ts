import { expect } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import { ask, int8, list, text } from "./raw-client.ts";

/*
 * What a broker answers to changes of configurations. The codes and the configurations after each step are those of
 * Apache Kafka 4.1; `apache-kafka.ts` compares them with a real one, `admin.test.ts` with the embedded broker.
 */

const NONE = 0;
const UNKNOWN_SERVER_ERROR = -1;
const UNKNOWN_TOPIC = 3;
const INVALID_TOPIC = 17;
const INVALID_CONFIG = 40;
const INVALID_REQUEST = 42;

const TOPIC = "configured";
const DESCRIBE_CONFIGS = 32;
const ALTER_CONFIGS = 33;
const INCREMENTAL_ALTER_CONFIGS = 44;
const TOPIC_TYPE = 2;
const BROKER_TYPE = 4;
const DYNAMIC_TOPIC_CONFIG = 1;

const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3];

type Change = readonly [operation: number, name: string, value: string | null];
interface Resource {
  readonly type?: number;
  readonly name?: string;
  readonly changes: readonly Change[];
}

/** The code of the answer to each resource. @param legacy sends AlterConfigs, which replaces and has no operations */
async function alter(
  port: number,
  resources: readonly Resource[],
  { legacy = false, validateOnly = false } = {},
): Promise<number[]> {
  const body = list(resources, ({ type = TOPIC_TYPE, name = TOPIC, changes }) => [
    int8(type),
    text(name),
    list(changes, ([operation, config, value]) => [
      text(config),
      ...(legacy ? [] : [int8(operation)]),
      text(value),
    ]),
  ]);
  const api = legacy ? ALTER_CONFIGS : INCREMENTAL_ALTER_CONFIGS;
  const response = await ask(port, api, 0, Buffer.concat([body, int8(validateOnly ? 1 : 0)]));
  response.int32();
  return response.list(() => {
    const code = response.int16();
    response.text();
    response.int8();
    response.text();
    return code;
  });
}

interface Described {
  readonly name: string;
  readonly value: string;
  readonly isReadOnly: boolean;
  readonly source: number;
  readonly synonyms: string[];
}

async function describe(port: number): Promise<Described[]> {
  const everyName = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  const body = list([TOPIC], (name) => [int8(TOPIC_TYPE), text(name), everyName]);
  const response = await ask(port, DESCRIBE_CONFIGS, 1, Buffer.concat([body, int8(1)]));
  response.int32();
  const [configs = []] = response.list(() => {
    response.int16();
    response.text();
    response.int8();
    response.text();
    return response.list(() => {
      const name = response.text() ?? "";
      const value = response.text() ?? "";
      const isReadOnly = response.int8() === 1;
      const source = response.int8();
      response.int8();
      const synonyms = response.list(() => `${response.text()}=${response.text()} (${response.int8()})`);
      return { name, value, isReadOnly, source, synonyms };
    });
  });
  return configs;
}

async function overrides(port: number): Promise<string> {
  const set = (await describe(port)).filter(({ source }) => source === DYNAMIC_TOPIC_CONFIG);
  return set
    .map(({ name, value }) => `${name}=${value}`)
    .sort()
    .join(" ");
}

interface Step {
  readonly what: string;
  readonly resources: readonly Resource[];
  readonly how?: { readonly legacy?: boolean; readonly validateOnly?: boolean };
  readonly codes: readonly number[];
  /** The configurations of the topic that are set afterwards; without it, as before. */
  readonly after?: string;
}

const step = (what: string, changes: readonly Change[], code: number, after?: string): Step => ({
  what,
  resources: [{ changes }],
  codes: [code],
  ...(after === undefined ? {} : { after }),
});
const legacy = (...args: Parameters<typeof step>): Step => ({ ...step(...args), how: { legacy: true } });
const other = (what: string, resource: Resource, code: number): Step => ({
  what,
  resources: [resource],
  codes: [code],
});

const steps: readonly Step[] = [
  step("sets", [[SET, "retention.ms", "60000"]], NONE, "retention.ms=60000"),
  step("sets the same again", [[SET, "retention.ms", "60000"]], NONE),
  step(
    "sets two",
    [
      [SET, "max.message.bytes", "2000"],
      [SET, "retention.ms", "-1"],
    ],
    NONE,
    "max.message.bytes=2000 retention.ms=-1",
  ),
  step("deletes", [[DELETE, "max.message.bytes", null]], NONE, "retention.ms=-1"),
  step("deletes with a value", [[DELETE, "retention.ms", "7"]], NONE, ""),
  step("deletes what is not set", [[DELETE, "retention.ms", null]], NONE),
  step("deletes what does not exist", [[DELETE, "no.such.config", null]], NONE),
  step(
    "appends to a default",
    [[APPEND, "cleanup.policy", "compact"]],
    NONE,
    "cleanup.policy=delete,compact",
  ),
  step("appends what is there", [[APPEND, "cleanup.policy", "delete"]], NONE),
  step("subtracts", [[SUBTRACT, "cleanup.policy", "delete"]], NONE, "cleanup.policy=compact"),
  step("subtracts what is not there", [[SUBTRACT, "cleanup.policy", "delete"]], NONE),
  step("subtracts the last", [[SUBTRACT, "cleanup.policy", "compact"]], NONE, "cleanup.policy="),
  step("appends to an empty list", [[APPEND, "cleanup.policy", "delete"]], NONE, "cleanup.policy=delete"),
  step("appends what is no policy", [[APPEND, "cleanup.policy", "shred"]], INVALID_CONFIG),
  step("appends to a number", [[APPEND, "retention.ms", "1"]], INVALID_CONFIG),
  step("subtracts from a number", [[SUBTRACT, "retention.ms", "1"]], INVALID_CONFIG),
  step("appends to what does not exist", [[APPEND, "no.such.config", "1"]], INVALID_CONFIG),
  step("appends null", [[APPEND, "cleanup.policy", null]], INVALID_REQUEST),
  step("sets null", [[SET, "retention.ms", null]], INVALID_REQUEST),
  step("sets what does not exist", [[SET, "no.such.config", "1"]], INVALID_CONFIG),
  step("sets an invalid value", [[SET, "retention.ms", "soon"]], INVALID_CONFIG),
  step("sets a value that is too small", [[SET, "retention.ms", "-2"]], INVALID_CONFIG),
  step("sets nothing", [], NONE),
  step("an operation that does not exist", [[9, "retention.ms", "1"]], UNKNOWN_SERVER_ERROR),
  step(
    "one that is valid, and one that is not",
    [
      [SET, "retention.ms", "5"],
      [SET, "segment.ms", "0"],
    ],
    INVALID_CONFIG,
  ),
  step(
    "one twice",
    [
      [SET, "retention.ms", "5"],
      [DELETE, "retention.ms", null],
    ],
    INVALID_REQUEST,
  ),
  step(
    "values that do not fit together",
    [
      [SET, "min.compaction.lag.ms", "10"],
      [SET, "max.compaction.lag.ms", "9"],
    ],
    INVALID_CONFIG,
  ),
  { ...step("validates only", [[SET, "retention.ms", "5"]], NONE), how: { validateOnly: true } },
  {
    what: "the topic twice",
    resources: [{ changes: [[SET, "retention.ms", "5"]] }, { changes: [[SET, "retention.ms", "6"]] }],
    codes: [INVALID_REQUEST, INVALID_REQUEST],
  },
  {
    what: "a topic that exists, and one that does not",
    resources: [{ changes: [[SET, "retention.ms", "5"]] }, { name: "missing", changes: [] }],
    codes: [NONE, UNKNOWN_TOPIC],
    after: "cleanup.policy=delete retention.ms=5",
  },
  other("no topic of this name", { name: "missing", changes: [[SET, "retention.ms", "5"]] }, UNKNOWN_TOPIC),
  other("no topic, no such config", { name: "missing", changes: [[SET, "no.such", "5"]] }, INVALID_CONFIG),
  other("no name of a topic", { name: "a b", changes: [[SET, "retention.ms", "5"]] }, INVALID_TOPIC),
  other("an empty name", { name: "", changes: [[SET, "retention.ms", "5"]] }, INVALID_REQUEST),
  other("no type of a resource", { type: 3, changes: [] }, INVALID_REQUEST),
  other("no such broker", { type: BROKER_TYPE, name: "77", changes: [] }, INVALID_REQUEST),
  other("no number of a broker", { type: BROKER_TYPE, name: "one", changes: [] }, INVALID_REQUEST),
  other("nothing of the broker", { type: BROKER_TYPE, name: "1", changes: [] }, NONE),
  other(
    "a config of the broker that is fixed",
    { type: BROKER_TYPE, name: "1", changes: [[SET, "num.partitions", "5"]] },
    INVALID_REQUEST,
  ),
  other(
    "a config of every broker that is fixed",
    { type: BROKER_TYPE, name: "", changes: [[SET, "auto.create.topics.enable", "false"]] },
    INVALID_REQUEST,
  ),
  legacy("replaces all", [[SET, "segment.ms", "1000"]], NONE, "segment.ms=1000"),
  legacy("replaces by an invalid value", [[SET, "segment.ms", "0"]], INVALID_CONFIG),
  legacy("replaces by null", [[SET, "segment.ms", null]], INVALID_REQUEST),
  {
    ...legacy("validates a replacement only", [[SET, "retention.ms", "5"]], NONE),
    how: { legacy: true, validateOnly: true },
  },
  legacy("replaces by nothing", [], NONE, ""),
];

/** Configurations whose default is the same on both, and has a name on the broker. */
const SYNONYMS_OF = ["cleanup.policy", "retention.bytes", "max.message.bytes", "min.cleanable.dirty.ratio"];

/** Changes a topic of the broker on this port step by step, and compares its answers. */
export async function compareConfigs(port: number): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin();
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 1 }] });
  await admin.disconnect();
  const answers: string[] = [];
  const expected: string[] = [];
  let after = "";
  for (const { what, resources, how, codes, ...outcome } of steps) {
    after = outcome.after ?? after;
    answers.push(`${what}: ${await alter(port, resources, how)}, then ${await overrides(port)}`);
    expected.push(`${what}: ${codes}, then ${after}`);
  }
  expect(answers).toEqual(expected);
  await alter(port, [{ changes: [[SET, "max.message.bytes", "2000"]] }]);
  const described = (await describe(port)).filter(({ name }) => SYNONYMS_OF.includes(name));
  const unchanged = (name: string, value: string, synonym: string) => ({
    ...{ name, value, isReadOnly: false, source: 5, synonyms: [`${synonym}=${value} (5)`] },
  });
  expect(described.sort((one, two) => (one.name < two.name ? -1 : 1))).toEqual([
    unchanged("cleanup.policy", "delete", "log.cleanup.policy"),
    {
      name: "max.message.bytes",
      value: "2000",
      isReadOnly: false,
      source: DYNAMIC_TOPIC_CONFIG,
      synonyms: ["max.message.bytes=2000 (1)", "message.max.bytes=1048588 (5)"],
    },
    unchanged("min.cleanable.dirty.ratio", "0.5", "log.cleaner.min.cleanable.ratio"),
    unchanged("retention.bytes", "-1", "log.retention.bytes"),
  ]);
}
