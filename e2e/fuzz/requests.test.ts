import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";
import { runRequests } from "./requests/campaign.ts";

/*
 * Requests that are generated from the store's own OpenAPI documents. A run without FUZZ_SEED has a seed of its own, which
 * it prints; `bun run fuzz-requests` sends more.
 */

const seed = process.env.FUZZ_SEED ?? String(Date.now());
const REQUESTS = runsSlowTests ? 4_000 : 1_000;

describeOwn("every operation of the OpenAPI documents", () => {
  const store = useOwnStore();

  test("answers generated requests with a status and a body that its document lists, and with no 5xx but 503", async () => {
    console.log(`FUZZ_SEED=${seed}`);
    const { faults, requests, statuses } = await runRequests(store, REQUESTS, seed);
    expect(faults).toEqual([]);
    expect(requests).toBe(REQUESTS);
    expect([...statuses.values()].filter(({ size }) => size === 0)).toHaveLength(0);
    for (const name of serviceNames) {
      await eventually(
        async () => (await store.request(name, "/readiness")).status === 200,
        `${name} is ready`,
      );
    }
  }, 300_000);
});
