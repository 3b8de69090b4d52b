import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { demoOrders } from "../support/customer.ts";
import { documentedMetrics, familiesIn, namingFaults } from "../support/metrics.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";

const promtool = process.env.PROMTOOL_PATH || Bun.which("promtool");
if (promtool === null) console.warn("skipped the check of the metrics: promtool is not installed");

describe("the rules of names", () => {
  const right = {
    name: "outbox_send_duration_seconds",
    type: "histogram",
    help: "Time of a send",
    labels: [],
  };

  test("a right name has no fault", () => {
    expect(namingFaults(right)).toEqual([]);
  });

  test.each([
    { name: "outboxDepth" },
    { name: "messages_handled", type: "counter" },
    { name: "nodejs_active_handles_total", type: "gauge" },
    { name: "outbox_send_duration_ms" },
    { name: "outbox_send_duration" },
    { name: "dead_letters_count" },
    { help: "" },
    { labels: ["messageType"] },
  ])("%o has one", (wrong) => {
    expect(namingFaults({ ...right, ...wrong })).toHaveLength(1);
  });
});

describeOwn("GET /metrics", () => {
  const store = useOwnStore();
  const scrape = async (name: ServiceName) => (await fetch(`${store.url(name)}/metrics`)).text();

  test("has the metrics of docs/metrics.md, and no others, by names that Prometheus wants", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    await customer.place(demoOrders.ORDER_001);
    await customer.until(demoOrders.ORDER_001.orderId, "confirmed");
    const series = 'order_status_seconds_count{app="api-gateway",status="confirmed"} 1';
    await eventually(async () => (await scrape("api-gateway")).includes(series), "the time of the order");
    const documented = documentedMetrics();
    expect(documented.map(({ name }) => name)).toEqual([...new Set(documented.map(({ name }) => name))]);
    for (const service of serviceNames) {
      const served = familiesIn(await scrape(service));
      const expected = documented.filter(({ of }) => of === undefined || of === service);
      const byName = (families: readonly { readonly name: string; readonly type: string }[]) =>
        families.map(({ name, type }) => `${name} ${type}`).sort();
      expect(byName(served)).toEqual(byName(expected));
      expect(served.flatMap(namingFaults)).toEqual([]);
      const labelsOf = new Map(documented.map(({ name, labels }) => [name, labels]));
      // A metric with labels has no series before it has something to say.
      const known = served.filter(({ labels }) => labels.length > 0);
      expect(known.map(({ name, labels }) => [name, labels])).toEqual(
        known.map(({ name }) => [name, labelsOf.get(name) ?? []]),
      );
    }
  });

  test.skipIf(promtool === null).each([...serviceNames])(
    "promtool finds nothing wrong with %s",
    async (name) => {
      const checked = Bun.spawn([promtool ?? "promtool", "check", "metrics"], {
        stdin: new Blob([await scrape(name)]),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all(
        [checked.stdout, checked.stderr].map((stream) => new Response(stream).text()),
      );
      expect([out, err]).toEqual(["", ""]);
      expect(await checked.exited).toBe(0);
    },
  );
});
