import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import type { Topic } from "@distributed-messaging/messaging";
import { describeProvisioned, ProvisionFailed, provision } from "./provision.ts";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function broker(address: { host: string; port: number } = { host: "127.0.0.1", port: 0 }) {
  const dataDir = mkdtempSync(join(tmpdir(), "provision-"));
  const started = await startBroker({ dataDir, ...address });
  cleanups.push(
    () => rmSync(dataDir, { recursive: true, force: true }),
    () => started.stop(),
  );
  return started;
}

const settingsOf = ({ host, port }: Pick<Broker, "host" | "port">) => ({
  brokers: [`${host}:${port}`],
  clientId: "test",
});

const topic = (name: string, partitions: number, config: Record<string, string> = {}): Topic => ({
  name,
  key: "any",
  partitions,
  config,
});
const topics = [topic("things", 3), topic("others", 1, { "cleanup.policy": "compact" })];
const everyTopic = { created: ["things", "others"], drift: [] };
const nothing = { created: [], drift: [] };

test("creates every topic; a second run changes nothing", async () => {
  const settings = settingsOf(await broker());
  expect(await provision(settings, topics)).toEqual(everyTopic);
  expect(await provision(settings, topics)).toEqual(nothing);
});

test("several runs at once create each topic once", async () => {
  const settings = settingsOf(await broker());
  await Promise.all([1, 2, 3].map(() => provision(settings, topics)));
  expect(await provision(settings, topics)).toEqual(nothing);
});

test("neither adds nor removes partitions, and says what to do instead", async () => {
  const settings = settingsOf(await broker());
  await provision(settings, [topic("things", 2)]);
  expect(await provision(settings, [topic("things", 3)])).toEqual({
    ...nothing,
    drift: [expect.stringContaining("things has 2 partitions instead of 3, and is not written")],
  });
  expect(await provision(settings, [topic("things", 1)])).toEqual({
    ...nothing,
    drift: ["things has 2 partitions instead of 1: the others are read, not written"],
  });
});

test("reports a setting that differs and does not change it", async () => {
  const settings = settingsOf(await broker());
  await provision(settings, [topic("things", 1, { "retention.ms": "60000" })]);
  const wanted = [topic("things", 1, { "retention.ms": "-1" })];
  const again = await provision(settings, wanted);
  expect(again.drift).toEqual(["things: retention.ms is 60000 instead of -1"]);
  expect(await provision(settings, wanted)).toEqual(again);
});

test("waits for a broker that starts later", async () => {
  const first = await broker();
  await first.stop();
  const provisioned = provision(settingsOf(first), topics);
  await broker({ host: first.host, port: first.port });
  expect(await provisioned).toEqual(everyTopic);
});

test("fails with one line when no broker answers in time", async () => {
  const away = await broker();
  await away.stop();
  const failed = await provision(settingsOf(away), topics, { timeoutMs: 0 }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(ProvisionFailed);
  expect(String(failed)).toContain(`cannot create the topics at ${away.host}:${away.port}: `);
  expect(String(failed)).not.toContain("\n");
});

test("creates no topic before there are enough brokers for its replicas", async () => {
  const settings = settingsOf(await broker());
  await expect(provision(settings, topics, { replication: 3, timeoutMs: 0 })).rejects.toThrow(
    "1 of 3 brokers have joined the cluster",
  );
  expect(await provision(settings, topics)).toEqual(everyTopic);
});

test("is described in one line for each change and each difference", () => {
  expect(describeProvisioned({ created: ["a"], drift: ["c is odd"] })).toEqual([
    "created a",
    "not changed: c is odd",
  ]);
});
