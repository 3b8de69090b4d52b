import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import {
  closed,
  deadLetterTopic,
  define,
  Messaging,
  on,
  openDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import {
  KafkaClient,
  type KafkaTransport,
  kafkaTransport,
  newTopic,
} from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { outboxRoutes } from "@distributed-messaging/service/outbox";
import { Type } from "@sinclair/typebox";
import { tokenOf, verifierWith } from "../../shared/service/testing/dead-letter-fixture.ts";
import { serveForTest, type TestServer } from "../../shared/service/testing/http.ts";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a service whose broker takes no message of more than 2,000 bytes. */

const letters = { name: "letters", key: "name", partitions: 3, config: { "max.message.bytes": "2000" } };
const topics = [letters, deadLetterTopic("order")];
const Letter = define({
  type: "test.letter.v1",
  kind: "event",
  source: "order",
  topic: letters,
  key: "name",
  data: Type.Object({ name: Type.String(), text: Type.String() }, closed),
});
/** Also when it is compressed. */
const LARGE = `large ${randomBytes(3_000).toString("base64")}`;

let folder: string;
let broker: Broker;
let transport: KafkaTransport;
let messaging: Messaging;
let server: TestServer;
let store: StoreSettings;
/** The letters that were sent and handled, as `name:text`. */
let handled: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "outbox-"));
  broker = await startBroker({ dataDir: folder, host: "127.0.0.1", port: 0 });
  await changeTopics((admin) => admin.createTopics({ topics: topics.map((topic) => newTopic(topic, {})) }));
  transport = kafkaTransport(
    { ...settings(), topics: { create: false } },
    topics,
    systemRuntime,
    silentLogger,
  );
  handled = [];
  messaging = new Messaging({
    ...{ service: "order", database: openDatabase(":memory:"), transport, definitions: [Letter] },
    handlers: [on(Letter, ({ data: { name, text } }) => void handled.push(`${name}:${text.slice(0, 5)}`))],
    ...{ deadLetterTopic: deadLetterTopic("order").name, runtime: systemRuntime, log: silentLogger },
  });
  messaging.start();
  server = await serveForTest((app) => app.use(outboxRoutes(messaging.outboxAdmin, verifierWith())));
  store = new StoreSettings({ ORDER_PORT: new URL(server.url).port });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await messaging.stop();
  await transport.close();
  await broker.stop();
  store.remove();
  rmSync(folder, { recursive: true, force: true });
});

const settings = () => ({ brokers: [`127.0.0.1:${broker.port}`], clientId: "order" });

async function changeTopics(
  change: (admin: ReturnType<KafkaClient["kafka"]["admin"]>) => Promise<unknown>,
): Promise<void> {
  const admin = new KafkaClient(settings(), silentLogger).kafka.admin();
  await admin.connect();
  await change(admin).finally(() => admin.disconnect());
}

/** Emits letters, and waits until so many are parked. */
async function send(parked: number, ...sent: (readonly [name: string, text: string])[]): Promise<void> {
  await messaging.unitOfWork.run((transaction) => {
    for (const [name, text] of sent) transaction.emit(Letter, { name, text });
  });
  await eventually(() => messaging.parked.count() === parked && messaging.outbox.depth() === 0);
}

const run = async (...args: string[]) =>
  store.run("outbox.ts", [...args, "--service", "order", "--token", await tokenOf("admin")]);

slowTest("lists, shows, retries and drops messages that the broker refuses", async () => {
  await send(2, ["a\u001b", LARGE], ["a\u001b", "1"], ["b", "2"]);
  const listed = await run("list");
  expect(listed).toMatchObject({ stderr: "", exitCode: 0 });
  expect(listed.stdout).toMatch(/^order +1 .* record +letters +a\\u001b +\d{4} .*larger than/im);
  expect(JSON.parse((await run("list", "--after", "1", "--limit", "1", "--json")).stdout)).toMatchObject([
    { service: "order", id: 2, reason: "blocked", key: "a\u001b" },
  ]);
  expect((await run("show", "1")).stdout).toContain(LARGE);
  expect((await run("retry", "2")).stderr).toContain("2 is blocked by 1.");
  expect((await run("drop", "1")).stderr).toStartWith("outbox: drop needs --reason TEXT (for help");
  expect((await run("drop", "1", "--reason", "a test")).stdout).toBe("1 is dropped\n");
  await eventually(() => handled.length === 2);
  expect(handled.toSorted()).toEqual(["a\u001b:1", "b:2"]);
  expect((await run("list")).stdout).toBe("no message is parked\n");
  expect(messaging.outboxAdmin.actions(1)).toMatchObject([
    { action: "drop", actor: "alice", detail: "a test [letters key a\u001b]" },
  ]);
});

slowTest(
  "a retry sends what the broker refuses no longer, in order, and parks it again otherwise",
  async () => {
    await send(2, ["a", LARGE], ["a", "1"]);
    expect((await run("retry", "1")).stdout).toBe("1 is sent again, and the later ones of its key\n");
    const [again] = await eventually(() => {
      const list = messaging.outboxAdmin.list({ limit: 9 });
      return list.length === 2 && list[0]?.id !== 1 ? list : undefined;
    });
    expect(again).toMatchObject({ reason: "record", key: "a" });
    await changeTopics(async (admin) => {
      await admin.deleteTopics({ topics: [letters.name] });
      await admin.createTopics({ topics: [newTopic({ ...letters, config: {} }, {})] });
    });
    expect((await run("retry", "--topic", "letters")).stdout).toBe(
      "order: messages of 1 keys are sent again\n",
    );
    await eventually(() => handled.length === 2);
    expect(handled).toEqual(["a:large", "a:1"]);
    expect(messaging.parked.count()).toBe(0);
  },
);

test("refuses what cannot be done, with exit code 1", async () => {
  expect(await run("show", "9")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("There is no parked outgoing record 9."),
  });
  expect((await run("retry")).stderr).toContain("retry needs an id, --topic or --all");
  expect((await run("jump", "1")).stderr).toContain("unknown command jump");
  const notAdmin = await fetch(`${server.url}/outbox/parked`);
  expect(notAdmin.status).toBe(401);
});
