import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ProcessName, processNames } from "@distributed-messaging/supervisor/store";
import { Prng } from "../simulation/prng.ts";
import { axeViolations } from "./accessibility.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { recordMovement } from "./movement.ts";
import type { Shop } from "./shop.ts";
import { layoutShift, recordShifts } from "./vitals.ts";

/** The words of the map for the states of a process. */
const words: Readonly<Record<string, string>> = {
  ready: "running",
  starting: "starting",
  paused: "paused",
  "backing-off": "restarting",
  stopping: "stopping",
  stopped: "stopped",
};

const MAX_SHIFT = 0.05;
/** How many faults the map has to follow. */
const FAULTS = 25;

/* Most tests stop processes. The essential one runs always: that of shop.test.ts. */

const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;

describeSlow("the map of the store", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  const part = (shop: Shop, name: string) => shop.page.locator(`.map-part[data-process="${name}"]`);
  const press = (shop: Shop, name: string) => shop.page.getByRole("button", { name, exact: true }).click();

  /** Resolves when the map says of every process, in words, what the supervisor knows. */
  async function untilTrue(shop: Shop): Promise<void> {
    const real = () => processNames.map((name) => `${name} ${words[store.process(name).state]}`);
    await eventually(async () => {
      const before = real();
      const shown = await Promise.all(
        processNames.map((name) => part(shop, name).locator(".map-name").textContent()),
      );
      return Bun.deepEquals(before, real()) && Bun.deepEquals(shown, before);
    }, "the map to agree with the processes");
  }

  test(
    "what it says agrees with the processes, large and small, while they are stopped, paused, killed and started on it",
    async () => {
      const shop = await (await fixture.visit()).open();
      await untilTrue(shop);
      await press(shop, "Stop order");
      await eventually(() => store.process("order").state === "stopped", "the order service to be stopped");
      await untilTrue(shop);
      await shop.page.locator('.map-line-cut[data-line="order"]').waitFor({ state: "attached" });
      expect(await shop.page.locator('.map-line-cut[data-line="inventory"]').count()).toBe(0);
      expect(await axeViolations(shop.page)).toEqual([]);
      await press(shop, "Pause inventory");
      await eventually(() => store.process("inventory").state === "paused", "the inventory to be paused");
      await untilTrue(shop);
      const { restarts } = store.process("notification");
      await press(shop, "Kill notification");
      await eventually(() => store.process("notification").restarts === restarts + 1, "the restart");
      await untilTrue(shop);
      await shop.goTo("tour");
      await untilTrue(shop);
      await store.process("broker").kill();
      await untilTrue(shop);
      await shop.page.getByRole("button", { name: "Large map" }).click();
      await press(shop, "Resume inventory");
      await press(shop, "Start order");
      await eventually(
        () => processNames.every((name) => store.process(name).state === "ready"),
        "every process to run",
      );
      await untilTrue(shop);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "what a stopped service has not read waits at the broker, and what a stopped broker did not take in the outbox",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("PILES");
      // What is unread is known of a consumer group that has committed an offset.
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.goTo("");
      await part(shop, "inventory").getByText("unread 0").waitFor();
      await shop.add("PRODUCT_006");
      await press(shop, "Stop inventory");
      await eventually(() => store.process("inventory").state === "stopped", "the inventory to be stopped");
      await shop.checkOut();
      await shop.untilStatus("pending");
      await shop.goTo("");
      await part(shop, "inventory").getByText("unread 1").waitFor();
      expect(await shop.page.locator('g:has([data-line="inventory"]) > .map-unread').count()).toBe(1);
      await press(shop, "Start inventory");
      await part(shop, "inventory").getByText("unread 0").waitFor();
      await eventually(
        async () => (await shop.page.locator(".map-unread").count()) === 0,
        "no pile to be left",
      );

      await press(shop, "Stop broker");
      await eventually(() => store.process("broker").state === "stopped", "the broker to be stopped");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.goTo("");
      await part(shop, "api-gateway").getByText("outbox 1").waitFor();
      await press(shop, "Start broker");
      await part(shop, "api-gateway").getByText("outbox 0").waitFor();
      expect(shop.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "an order's request moves also when its answer comes before the next frame",
    async () => {
      // At this width the large map fits at once: it is not drawn a second time before the next frame.
      const viewport = { width: 1100, height: 900 };
      const shop = await (await fixture.visit({ reducedMotion: "no-preference", viewport })).open();
      await shop.signIn("SOONER");
      for (const name of ["Small map", "Large map"]) await press(shop, name);
      const drawn = await recordMovement(shop.page);
      await shop.add("PRODUCT_006");
      // Neither frames nor timers go on.
      await shop.page.clock.install();
      await shop.page.clock.pauseAt(Date.now() + 60_000);
      await shop.checkOut();
      await eventually(
        async () => (await drawn()).includes("POST /orders browser>api-gateway"),
        "the request to move",
      );
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "with reduced motion nothing moves: the line is marked, and the message is named",
    async () => {
      const shop = await (await fixture.visit({ reducedMotion: "reduce" })).open();
      await shop.signIn("STILL");
      const drawn = await recordMovement(shop.page);
      const other = await store.signIn("STILL");
      const marked = shop.page.locator(".map-line-used");
      const orderId = "STILL_1";
      await other.place({ orderId, items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      await marked.first().waitFor({ state: "attached" });
      await other.until(orderId, "confirmed");
      await shop.page.locator(".map-last", { hasText: /^Last: \w+ from [\w-]+ for / }).waitFor();
      await eventually(async () => (await marked.count()) === 0, "the marks to end");
      expect(await drawn()).toEqual([]);
      expect(await shop.page.evaluate(() => document.getAnimations().length)).toBe(0);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "with the keyboard alone a service is stopped and started; the focus stays where it was",
    async () => {
      const shop = await (await fixture.visit()).open();
      const { keyboard } = shop.page;
      await part(shop, "notification").getByRole("button").first().waitFor();
      const focused = () => shop.page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
      for (let presses = 0; (await focused()) !== "Stop notification"; presses++) {
        expect(presses).toBeLessThan(60);
        await keyboard.press("Tab");
      }
      await keyboard.press("Enter");
      await eventually(() => store.process("notification").state === "stopped", "it to be stopped");
      await eventually(
        async () => (await focused()) === "Start notification",
        "the focus on its other action",
      );
      await untilTrue(shop);
      await shop.page.locator(':focus[aria-disabled="false"]').waitFor();
      await keyboard.press("Space");
      await eventually(() => store.process("notification").state === "ready", "it to run");
      await eventually(async () => (await focused()) === "Stop notification", "the focus");
      await untilTrue(shop);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "it agrees with the processes while random ones are killed, stopped and paused",
    async () => {
      const seed = crypto.randomUUID();
      const random = new Prng(seed);
      const shop = await (await fixture.visit()).open();
      const done: string[] = [];
      const inject = async (name: ProcessName): Promise<void> => {
        const process = store.process(name);
        if (process.state === "stopped") {
          // Not until it is ready: without the broker, it would wait in vain.
          void process.start().catch(() => {});
          return;
        }
        if (process.state === "paused") return process.resume();
        const action = random.pick(["kill", "kill", "stop", "pause"] as const);
        done.push(`${action} ${name}`);
        await process[action]();
      };
      try {
        for (let fault = 0; fault < FAULTS; fault++) {
          // One that is starting or stopping just now refuses some of them.
          const injected = inject(random.pick(processNames)).catch(() => {});
          if (random.chance(0.5)) await injected;
          await untilTrue(shop);
          await injected;
        }
        for (const name of processNames) {
          const process = store.process(name);
          if (process.state === "paused") await process.resume();
          await process.start();
        }
        await untilTrue(shop);
        await shop.page.getByText("Everything runs.").waitFor();
      } catch (error) {
        throw new Error(`seed ${seed}: ${done.join(", ")}`, { cause: error });
      }
      await shop.context.close();
    },
    2 * TEST_LIMIT_MS,
  );

  test(
    "the layout is stable while processes stop and start, on a desktop and on a phone",
    async () => {
      for (const viewport of [
        { width: 1280, height: 900 },
        { width: 390, height: 844 },
      ]) {
        for (const view of ["", "tour"] as const) {
          const shop = await fixture.visit({ viewport });
          await recordShifts(shop.page);
          await shop.open(view);
          await untilTrue(shop);
          await Promise.all([store.process("order").stop(), store.process("inventory").stop()]);
          await untilTrue(shop);
          await Promise.all([store.process("order").start(), store.process("inventory").start()]);
          await untilTrue(shop);
          const shift = await layoutShift(shop.page);
          expect({ view, viewport, isStable: shift < MAX_SHIFT, shift }).toMatchObject({ isStable: true });
          await shop.context.close();
        }
      }
    },
    TEST_LIMIT_MS,
  );
});
