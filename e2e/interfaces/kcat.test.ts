import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allMessages, orderIdOf } from "@distributed-messaging/contracts";
import { CONTENT_TYPE, decode } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { storeTopics } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { parse } from "../support/answers.ts";
import { useStore } from "../support/own-store.ts";

const kcat = process.env.KCAT_PATH || Bun.which("kcat");
if (kcat === null) console.warn("skipped the tests with librdkafka: kcat is not installed");

const LIMIT_MS = 60_000;

const Listing = Type.Object({
  topics: Type.Array(Type.Object({ topic: Type.String(), partitions: Type.Array(Type.Unknown()) })),
});
/** A record as `kcat -J` prints it. */
const Printed = Type.Object({
  topic: Type.String(),
  partition: Type.Integer(),
  offset: Type.Integer(),
  headers: Type.Array(Type.String()),
  key: Type.String(),
  payload: Type.String(),
});

describe.skipIf(kcat === null)("kcat, a librdkafka client", () => {
  const store = useStore();

  async function run(...args: string[]): Promise<string> {
    const child = Bun.spawn([kcat ?? "kcat", "-b", store.brokers, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) throw new Error(`kcat ended with ${code}: ${stderr}`);
    return stdout;
  }

  test(
    "lists the topics",
    async () => {
      const { topics } = parse(Listing, JSON.parse(await run("-L", "-J")));
      const listed = new Map(topics.map(({ topic, partitions }) => [topic, partitions.length]));
      for (const { name, partitions } of storeTopics) {
        expect({ name, partitions: listed.get(name) }).toEqual({ name, partitions });
      }
    },
    LIMIT_MS,
  );

  test(
    "reads the CloudEvents of an order, in order",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_001");
      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
      await customer.until(orderId, "confirmed");

      const printed = await run("-C", "-t", "order.events", "-o", "beginning", "-e", "-q", "-J");
      const records = printed
        .trim()
        .split("\n")
        .map((line) => parse(Printed, JSON.parse(line)))
        .filter(({ key }) => key === orderIdOf(customer.id, orderId));
      const known = new Map(allMessages.map((definition) => [definition.type, definition]));
      const types = records.map(({ key, payload, headers }) => {
        expect(headers.slice(0, 3)).toEqual(["content-type", CONTENT_TYPE, "traceparent"]);
        const decoded = decode(known, {
          topic: "order.events",
          key,
          value: Buffer.from(payload),
          headers: {},
        });
        return decoded.status === "decoded" ? decoded.message.type : decoded.detail;
      });
      expect(types).toEqual(["store.order.placed.v1", "store.order.confirmed.v1"]);
    },
    LIMIT_MS,
  );

  test.each(["gzip", "snappy", "lz4", "zstd"])(
    "a foreign record that it compresses with %s is parked, and stops nothing",
    async (codec) => {
      const file = join(tmpdir(), `foreign-${crypto.randomUUID()}`);
      writeFileSync(file, "foreign ".repeat(50));
      const before = await store.metric("inventory", "messages_parked_total");
      // A header without a value, which kafkajs could not decode either.
      await run("-P", "-t", "inventory.commands", "-k", `foreign ${codec}`, "-z", codec, "-H", "empty", file);
      rmSync(file);
      await eventually(
        async () => (await store.metric("inventory", "messages_parked_total")) > before,
        "it is parked",
      );
      const customer = await store.signIn("CUSTOMER_001");
      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
      await customer.until(orderId, "confirmed");
      expect((await store.request("inventory", "/readiness")).body).toMatchObject({
        ready: true,
        checks: { broker: "UP", partitions: "UP" },
      });
    },
    LIMIT_MS,
  );
});
