import { expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { read } from "../support/answers.ts";
import type { Customer } from "../support/customer.ts";
import { describeOwn, type OwnStore, useOwnStore } from "../support/own-store.ts";
import { runToEnd } from "../support/run-to-end.ts";
import { slowTest } from "../support/slow-test.ts";
import { stateOf, untilIdle } from "../support/state.ts";

const LIMIT_MS = 120_000;
const ORDERS = 120;
const services = ["api-gateway", "notification"] as const;

const Status = Type.Object({ phase: Type.String(), unaccounted: Type.Integer(), skipped: Type.Integer() });

describeOwn("projections are rebuilt", () => {
  const store = useOwnStore();
  let customers: Customer[] = [];

  /** Places orders that reach every status. */
  async function fill(): Promise<void> {
    await store.seed();
    customers = [await store.signIn("CUSTOMER_001"), await store.signIn("CUSTOMER_002")];
    const products = ["PRODUCT_006", "PRODUCT_011", "PRODUCT_012"];
    for (let number = 0; number < ORDERS; number += 1) {
      const orderId = `ORDER_${number}`;
      const productId = products[number % products.length] ?? "";
      const customer = customers[number % 2];
      await customer?.place({ orderId, items: [{ productId, quantity: 1 }] });
      if (number % 10 === 0) await customer?.cancel(orderId);
    }
    await untilIdle(store);
  }

  slowTest(
    "with the same content, while clients read them and place orders",
    async () => {
      await fill();
      const before = await stateOf(store, customers);
      for (const service of services) {
        const rebuilding = rebuild(store, service);
        let reads = 0;
        for (let isOver = false; !isOver; reads += 1) {
          isOver = await Promise.race([rebuilding.then(() => true), Bun.sleep(5).then(() => false)]);
          expect(await stateOf(store, customers)).toEqual(before);
        }
        expect(reads).toBeGreaterThan(1);
        expect(await rebuilding).toContain(
          `${service} is rebuilt: 0 messages skipped, 0 rows that no message accounts for`,
        );
      }
      const placing = rebuild(store, "api-gateway");
      const { orderId } =
        (await customers[0]?.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] })) ?? {};
      await customers[0]?.until(orderId ?? "", "confirmed");
      expect(await placing).toContain("0 rows that no message accounts for");
    },
    LIMIT_MS,
  );

  test.each(services)(
    "%s: after kill -9 during the rebuild, the next process completes it",
    async (service) => {
      const admin = await store.signIn("ADMIN_001", "admin");
      const before = await stateOf(store, customers);
      const init = { headers: admin.authorization };
      read(Status, await store.request(service, "/rebuild", { ...init, method: "POST" }), 202);
      await store.process(service).kill();
      await store.process(service).ready();
      const status = await eventually(async () => {
        const now = read(Status, await store.request(service, "/rebuild", init));
        return now.phase === "done" && now;
      }, `${service} to be done`);
      expect(status).toMatchObject({ skipped: 0, unaccounted: 0 });
      await untilIdle(store);
      expect(await stateOf(store, customers)).toEqual(before);
    },
    LIMIT_MS,
  );
});

/** `bun run rebuild --service …`. @returns its output @throws when it fails */
async function rebuild(store: OwnStore, service: (typeof services)[number]): Promise<string> {
  const command = [process.execPath, join(ROOT, "scripts/rebuild.ts"), "--service", service];
  const env = {
    ...process.env,
    API_GATEWAY_PORT: new URL(store.url("api-gateway")).port,
    NOTIFICATION_PORT: new URL(store.url("notification")).port,
    // Not the operators' key of a store that was started in this folder.
    DATA_DIR: store.dataDir,
  };
  const { stdout, stderr, exitCode } = await runToEnd(command, { cwd: ROOT, env });
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}
