import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { eventually } from "@distributed-messaging/messaging/testing";
import { processNames } from "@distributed-messaging/supervisor/store";
import type { Page } from "playwright-core";
import type { Customer } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";

const ORDERS_PER_SECOND = 200;
const MEASURED_MS = 10_000;
const LOOK_EVERY_MS = 200;
/** As in the page: what is drawn at the same time, whatever the load. */
const MAX_DOTS = 60;
/** Of a topic: 3 records of each of its 4 partitions. */
const MAX_SAMPLE = 12;

interface Drawn {
  readonly frames: number;
  readonly ms: number;
  /** The longest time between two frames, in milliseconds. */
  readonly longestMs: number;
  readonly mostDots: number;
  /** What the animations of the dots change. */
  readonly animated: readonly string[];
}

/** Counts what is drawn for a while. */
function watchFrames(page: Page, forMs: number): Promise<Drawn> {
  return page.evaluate(
    ([limitMs, lookEveryMs]) =>
      new Promise<Drawn>((resolve) => {
        const start = performance.now();
        const animated = new Set<string>();
        let [frames, longestMs, mostDots, last] = [0, 0, 0, start];
        // Not in every frame, which it would make longer.
        const look = () => {
          mostDots = Math.max(mostDots, document.querySelectorAll(".map-dot").length);
          for (const { effect } of document.getAnimations()) {
            if (!(effect instanceof KeyframeEffect) || !effect.target?.classList.contains("map-dot"))
              continue;
            for (const keyframe of effect.getKeyframes()) {
              const { offset: _, computedOffset: __, easing: ___, composite: ____, ...changed } = keyframe;
              for (const property of Object.keys(changed)) animated.add(property);
            }
          }
        };
        const looking = setInterval(look, lookEveryMs);
        const onFrame = () => {
          const now = performance.now();
          frames += 1;
          longestMs = Math.max(longestMs, now - last);
          last = now;
          if (now - start < limitMs) {
            requestAnimationFrame(onFrame);
            return;
          }
          clearInterval(looking);
          resolve({ frames, ms: now - start, longestMs, mostDots, animated: [...animated] });
        };
        requestAnimationFrame(onFrame);
      }),
    [forMs, LOOK_EVERY_MS] as const,
  );
}

/** Places orders at a steady rate until it is stopped. @returns stops it, with the number of accepted orders */
function placeSteadily(customer: Customer, name: string): () => Promise<number> {
  const started = performance.now();
  const sent: Promise<unknown>[] = [];
  const timer = setInterval(() => {
    const due = ((performance.now() - started) / 1_000) * ORDERS_PER_SECOND;
    while (sent.length < due) {
      const items = [{ productId: "PRODUCT_006", quantity: 1 }];
      sent.push(customer.place({ orderId: `${name}_${sent.length}`, items }));
    }
  }, 5);
  return async () => {
    clearInterval(timer);
    await Promise.all(sent);
    return sent.length;
  };
}

/** The niceness of a process that runs when no other one wants the core. */
const LOWEST_PRIORITY = 19;

/** Lets the browser run before the processes of the store, as if it had cores of its own. Linux only. */
function putBrowserFirst(store: OwnStore): void {
  for (const name of processNames) {
    const process = `/proc/${store.process(name).pid}`;
    // A priority is that of one thread, and counts among those of its session only, where the kernel groups these (sched(7)).
    for (const thread of readdirSync(`${process}/task`)) setPriority(Number(thread), LOWEST_PRIORITY);
    const group = `${process}/autogroup`;
    if (existsSync(group)) writeFileSync(group, String(LOWEST_PRIORITY));
  }
}

/** Without SLOW_TESTS not even the store is started. */
const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;

describeSlow("the map under load", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  test(
    `at ${ORDERS_PER_SECOND} orders a second a bounded number of elements moves, by their transform alone`,
    async () => {
      const shop = await (await fixture.visit({ reducedMotion: "no-preference" })).open();
      await shop.processLight("inventory", "ready").waitFor();
      const idle = await watchFrames(shop.page, MEASURED_MS / 5);
      const customer = await store.signIn("LOAD");
      if (process.env.BROWSER_FIRST === "true") putBrowserFirst(store);
      const stop = placeSteadily(customer, "MAP");
      await shop.page.locator(".map-dot").first().waitFor();
      const loaded = await watchFrames(shop.page, MEASURED_MS);
      const placed = await stop();
      process.stderr.write(
        `map: ${placed} orders; frames a second: ${perSecond(idle)} idle, ${perSecond(loaded)} under load, ` +
          `longest ${loaded.longestMs.toFixed(0)} ms; at most ${loaded.mostDots} dots\n`,
      );
      expect(loaded.mostDots).toBeGreaterThan(0);
      expect(loaded.mostDots).toBeLessThanOrEqual(MAX_DOTS);
      expect(loaded.animated).toEqual(["transform"]);
      await eventually(async () => (await shop.page.locator(".map-dot").count()) === 0, "no dot to be left");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a page that asks what moved has a bounded sample",
    async () => {
      const customer = await store.signIn("LOAD");
      const stop = placeSteadily(customer, "SAMPLED");
      const { sample } = await eventually(async () => {
        const { movements } = await fixture.traffic(0);
        return movements?.find(({ stored }) => stored > 2 * MAX_SAMPLE);
      }, "a topic to take more than a sample").finally(stop);
      expect(sample).not.toBeEmpty();
      expect(sample.length).toBeLessThanOrEqual(MAX_SAMPLE);
    },
    TEST_LIMIT_MS,
  );
});

function perSecond({ frames, ms }: Drawn): string {
  return ((1_000 * frames) / ms).toFixed(0);
}
