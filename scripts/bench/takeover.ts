import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { metricIn } from "@distributed-messaging/supervisor/services";
import { type Instance, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { seedCatalogue } from "../command/client.ts";
import { CommandFailed } from "../command/command.ts";
import type { Comparison } from "./comparison.ts";

const SERVICE = "inventory";
const PRODUCT = "PRODUCT_001";
const ASK_EVERY_MS = 10;
const LIMIT_MS = 60_000;

type Way = "kill" | "stop";
const titles: Readonly<Record<Way, string>> = {
  kill: "after kill -9 of the leader, which stays down",
  stop: "after a stop of the leader in good order",
};

/**
 * How long nobody answers for the inventory, of which two instances run, after its leader was killed and after it was
 * stopped: from the signal until the other instance answers a request of its own. The former leader is started again for the
 * next round.
 *
 * @param count of each
 * @throws CommandFailed when no instance takes over
 */
export async function measureTakeover(count: number, report: (line: string) => void): Promise<Comparison[]> {
  const dataDir = mkdtempSync(join(tmpdir(), "bench-takeover-"));
  const store = new StoreSupervisor({
    dataDir,
    replicas: 2,
    env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn", HOST: "127.0.0.1" },
  });
  try {
    await store.startAll();
    await seedCatalogue(store.url(SERVICE));
    const comparisons: Comparison[] = [];
    for (const way of ["kill", "stop"] as const) {
      report(`${count} times: ${titles[way]}`);
      const seconds: number[] = [];
      for (let round = 0; round < count; round += 1) seconds.push(await takeOver(store, way));
      comparisons.push(...distribution(titles[way], seconds));
    }
    return comparisons;
  } finally {
    await store.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function takeOver(store: StoreSupervisor, way: Way): Promise<number> {
  const { leader, follower } = await rolesOf(store);
  const process = store.process(leader.name);
  const startedAt = performance.now();
  // Killed or stopped, it stays down until it is started below.
  const ended = way === "stop" ? process.stop() : Promise.all([process.kill(), process.stop()]);
  await until(async () => {
    const answer = await fetch(`${follower.url}/stock/${PRODUCT}`, { keepalive: false });
    return answer.status === 200 && (await leads(follower));
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  await ended;
  await process.start();
  return seconds;
}

async function rolesOf(store: StoreSupervisor): Promise<{ leader: Instance; follower: Instance }> {
  const [one, other] = store.instances.filter(({ service }) => service === SERVICE);
  if (one === undefined || other === undefined) throw new TypeError("there are two instances");
  let isFirst = false;
  await until(async () => {
    const [first, second] = await Promise.all([leads(one), leads(other)]);
    isFirst = first;
    return first !== second;
  });
  return isFirst ? { leader: one, follower: other } : { leader: other, follower: one };
}

async function leads({ url }: Instance): Promise<boolean> {
  const answer = await fetch(`${url}/metrics`, { keepalive: false });
  return metricIn(await answer.text(), "replication_leads") === 1;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await isSo().catch(() => false))) {
    if (performance.now() - startedAt > LIMIT_MS) throw new CommandFailed("no instance takes over");
    await Bun.sleep(ASK_EVERY_MS);
  }
}

function distribution(section: string, seconds: readonly number[]): Comparison[] {
  const sorted = seconds.toSorted((one, other) => one - other);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  const figures = { shortest: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), longest: at(1) };
  return Object.entries(figures).map(([name, value]) => ({
    ...{ section: `Takeover, ${section}`, name, unit: "s" },
    values: { store: [value] },
  }));
}
