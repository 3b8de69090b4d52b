import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allTopics } from "@distributed-messaging/contracts";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import type { Topic } from "@distributed-messaging/messaging";
import { describeProvisioned, ProvisionFailed, provision } from "./provision.ts";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function broker(): Promise<Broker> {
  const dataDir = mkdtempSync(join(tmpdir(), "provision-"));
  const started = await startBroker({ dataDir, host: "127.0.0.1", port: 0 });
  cleanups.push(
    () => rmSync(dataDir, { recursive: true, force: true }),
    () => started.stop(),
  );
  return started;
}

const settingsOf = ({ host, port }: { host: string; port: number }) => ({
  brokers: [`${host}:${port}`],
  clientId: "test",
});

const topic = (partitions: number, config: Record<string, string> = {}): Topic => ({
  name: "things",
  key: "thingId",
  partitions,
  config,
});

test("makes every topic of the contracts; again, there is nothing to do", async () => {
  const settings = settingsOf(await broker());
  expect(await provision(settings)).toEqual({
    created: allTopics.map(({ name }) => name),
    grown: [],
    drift: [],
  });
  expect(await provision(settings)).toEqual({ created: [], grown: [], drift: [] });
});

test("two at once leave each topic once", async () => {
  const settings = settingsOf(await broker());
  await Promise.all([provision(settings), provision(settings), provision(settings)]);
  expect(await provision(settings)).toEqual({ created: [], grown: [], drift: [] });
});

test("adds missing partitions, and takes none away", async () => {
  const settings = settingsOf(await broker());
  await provision(settings, { topics: [topic(2)] });
  expect(await provision(settings, { topics: [topic(3)] })).toEqual({
    created: [],
    grown: ["things"],
    drift: [],
  });
  expect(await provision(settings, { topics: [topic(1)] })).toEqual({
    created: [],
    grown: [],
    drift: ["things has 3 partitions, not 1"],
  });
});

test("reports a setting that differs, and leaves it", async () => {
  const settings = settingsOf(await broker());
  await provision(settings, { topics: [topic(1, { "retention.ms": "60000" })] });
  const wanted = { topics: [topic(1, { "retention.ms": "-1" })] };
  const again = await provision(settings, wanted);
  expect(again.drift).toEqual(["things: retention.ms is 60000, not -1"]);
  expect(await provision(settings, wanted)).toEqual(again);
});

test("waits for a broker that is not up yet", async () => {
  const first = await broker();
  const { host, port } = first;
  await first.stop();
  const provisioned = provision(settingsOf({ host, port }));
  const dataDir = mkdtempSync(join(tmpdir(), "provision-"));
  const second = await startBroker({ dataDir, host, port });
  cleanups.push(
    () => rmSync(dataDir, { recursive: true, force: true }),
    () => second.stop(),
  );
  expect((await provisioned).created).toEqual(allTopics.map(({ name }) => name));
});

test("gives up after a while, and says so in a line", async () => {
  const away = await broker();
  await away.stop();
  const failed = await provision(settingsOf(away), { timeoutMs: 0 }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(ProvisionFailed);
  expect(String(failed)).toContain(`no broker at ${away.host}:${away.port} made the topics: `);
  expect(String(failed)).not.toContain("\n");
});

test("does not make topics before there are enough brokers to keep them on", async () => {
  const settings = settingsOf(await broker());
  await expect(provision(settings, { replication: 3, timeoutMs: 0 })).rejects.toThrow(
    "1 of 3 brokers are there yet",
  );
  expect((await provision(settings)).created).toHaveLength(allTopics.length);
});

test("says what was done, a line each", () => {
  expect(describeProvisioned({ created: ["a"], grown: ["b"], drift: ["c is odd"] })).toEqual([
    "made a",
    "added partitions to b",
    "left as it is: c is odd",
  ]);
});
