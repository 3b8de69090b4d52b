import { expect, test } from "bun:test";
import { ProcessLease } from "./lease.ts";

test("a lease is granted although a process does not come back after the previous one", async () => {
  const lease = new ProcessLease({ bringBackAll: () => new Promise<void>(() => {}) }, 1);
  const first = new AbortController();
  await lease.grant(first.signal);
  first.abort();
  const second = await lease.grant(new AbortController().signal);
  await second.cancel();
});

test("a lease is granted after the processes are brought back", async () => {
  const events: string[] = [];
  const back = Promise.withResolvers<void>();
  const lease = new ProcessLease({ bringBackAll: () => back.promise });
  const first = new AbortController();
  await lease.grant(first.signal);
  first.abort();
  const second = lease.grant(new AbortController().signal).then((stream) => {
    events.push("granted");
    return stream.cancel();
  });
  // Everything else that a grant waits for is over after the turn of the loop in which it could have been granted.
  await new Promise((resolve) => setImmediate(resolve));
  events.push("brought back");
  back.resolve();
  await second;
  expect(events).toEqual(["brought back", "granted"]);
});
