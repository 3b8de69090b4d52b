import { expect, test } from "bun:test";
import { Connection } from "./connection.ts";
import { MemoryBudget } from "./memory-budget.ts";
import type { ClientSocket } from "./tcp.ts";

const LIMIT = 100_000;

/** A client that does not read. */
const socket: ClientSocket<Connection> = {
  data: undefined,
  remoteAddress: "127.0.0.1",
  setNoDelay: () => {},
  setKeepAlive: () => {},
  write: () => 0,
  pause: () => {},
  resume: () => {},
  end: () => {},
  terminate: () => {},
};

test("what a response needs less than its estimate is granted to others before its client has read it", async () => {
  const responses = new MemoryBudget(LIMIT);
  const reserved = Promise.withResolvers<void>();
  const response = Promise.withResolvers<Buffer>();
  const connection = new Connection(socket, {
    maxFrameBytes: LIMIT,
    received: new MemoryBudget(LIMIT),
    unread: new MemoryBudget(LIMIT),
    responses,
    maxIdleMs: LIMIT,
    frameTimeoutMs: LIMIT,
    stallTimeoutMs: LIMIT,
    async handle(_frame, { reserve }) {
      await reserve(90_000);
      reserved.resolve();
      return response.promise;
    },
    onError: () => {},
  });
  connection.onData(Buffer.from([0, 0, 0, 1, 0]));
  await reserved.promise;
  const other = responses.reserve(70_000, () => {});
  expect(other.isGranted).toBe(false);
  response.resolve(Buffer.alloc(20_000));
  await new Promise(setImmediate);
  expect([other.isGranted, responses.used]).toEqual([true, 90_000]);
  connection.onClose();
  other.release();
  await new Promise(setImmediate);
  expect(responses.used).toBe(0);
});
