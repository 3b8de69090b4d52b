import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { slowTest } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 120_000;

describeOwn("GET /readiness says what happened and what to do", () => {
  const store = useOwnStore();
  const order = { items: [{ productId: "PRODUCT_006", quantity: 1 }] };
  const readiness = () => store.request("notification", "/readiness");
  const problem = (check: string, detail: RegExp) => ({
    status: 200,
    body: {
      ready: true,
      checks: { [check]: "DOWN" },
      problems: expect.arrayContaining([
        { check, detail: expect.stringMatching(detail), remedy: expect.stringMatching(/\.$/) },
      ]),
    },
  });

  slowTest(
    "when the database is an older copy of itself",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_copy");
      await customer.until((await customer.place(order)).orderId, "confirmed");
      await untilIdle(store);
      const path = join(store.dataDir, "notification.sqlite");
      await store.process("notification").stop();
      copyFileSync(path, `${path}.copy`);
      await store.process("notification").start();
      expect((await readiness()).body).toMatchObject({ checks: { "database-age": "UP" }, problems: [] });
      await customer.until((await customer.place(order)).orderId, "confirmed");
      await untilIdle(store);
      await store.process("notification").stop();
      for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
      copyFileSync(`${path}.copy`, path);
      // It is not ready, which is what the supervisor waits for.
      store
        .process("notification")
        .start()
        .catch(() => undefined);
      const refused = "Its database is not the newest copy of that of the service";
      await eventually(
        async () => JSON.stringify((await readiness().catch(() => undefined))?.body).includes(refused),
        "the copy to be refused",
      );
      expect(await readiness()).toMatchObject({
        status: 503,
        body: { ready: false, checks: { ownership: "DOWN" } },
      });
      await store.process("notification").stop();
      {
        // As `bun run owner take-over` does.
        using database = new Database(path);
        database.run("UPDATE ownership SET takes_over = 1");
      }
      await store.process("notification").start();
      await eventually(
        async () => JSON.stringify((await readiness()).body).includes("The database is older"),
        "the older database to be recognised",
      );
      expect(await readiness()).toMatchObject(
        problem(
          "database-age",
          /^The database is older than it was: of order\.events\/\d+, it had been handled up to offset \d+, the database says \d+\.$/,
        ),
      );
      const metrics = String((await store.request("notification", "/metrics")).body);
      expect(metrics).toMatch(/^readiness_check\{[^}]*check="database-age"[^}]*\} 0$/m);
      expect(metrics).toMatch(/^readiness_check\{[^}]*check="storage"[^}]*\} 1$/m);
      // What it had handled is read again, and the notifications are there again, each once.
      await eventually(async () => (await customer.notifications()).length === 4, "the notifications");
    },
    LIMIT_MS,
  );

  test(
    "when a topic is not configured as the messages need it",
    async () => {
      await store.records.configure("order.events", { "retention.ms": "1000" });
      // It looks at the topics when it starts, and every ten minutes.
      await store.process("notification").stop();
      await store.process("notification").start();
      await eventually(
        async () => JSON.stringify((await readiness()).body).includes("retention.ms"),
        "the topic to be looked at",
      );
      expect(await readiness()).toMatchObject(
        problem("topics", /^The topic order\.events: retention\.ms is 1000 instead of -1: unread/),
      );
    },
    LIMIT_MS,
  );
});
