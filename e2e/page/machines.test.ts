import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { slowTest } from "../support/slow-test.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { Player } from "./player.ts";

describePage("the page of a store with several instances", () => {
  const fixture = usePageFixture({ replicas: 2 });

  slowTest(
    "the map says which instance leads, and that the other one follows and lacks nothing",
    async () => {
      const shop = await (await fixture.visit()).open();
      const counts = (name: string) => shop.page.locator(`[data-process="${name}"] .map-counts`);
      for (const service of ["order", "inventory"]) {
        await eventually(async () => {
          const texts = await Promise.all(
            [service, `${service}-2`].map((name) => counts(name).textContent()),
          );
          expect(texts.toSorted()).toEqual([
            "follows",
            expect.stringMatching(/^leads · outbox \d+ · unread /),
          ]);
          return true;
        }, `the roles of ${service}`);
      }
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "promise 7: the machine that leads is destroyed, another one goes on, and the first is built anew",
    async () => {
      const shop = await fixture.visit();
      const player = await Player.open(shop, 7);
      await player.goTo("The machine comes back with an empty disk, and is built anew");
      await player.verdict.waitFor();
      const text = await player.verdict.textContent();
      const [, lost, leader] =
        /It held\. (order(?:-2)?) was destroyed with its database, and (order(?:-2)?) went on: all 4 orders/.exec(
          text ?? "",
        ) ?? [text];
      expect([lost, leader].toSorted()).toEqual(["order", "order-2"]);
      await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
