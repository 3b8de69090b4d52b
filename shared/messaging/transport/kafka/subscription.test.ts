import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { type Logger, silentLogger, systemRuntime } from "../../runtime.ts";
import { eventually, failureOf } from "../../testing/eventually.ts";
import { kafkaTransport } from "./kafka.ts";

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return address.port;
}

test("a broker that cannot be reached is one short line a minute; the stacks are at debug level; a stop is none", async () => {
  const broker = `127.0.0.1:${await closedPort()}`;
  const lines: { readonly level: string; readonly text: string; readonly fields: object }[] = [];
  const to = (level: string) => (fields: object, text: string) => void lines.push({ level, text, fields });
  const log: Logger = { debug: to("debug"), info: to("info"), warn: to("warn"), error: to("error") };
  // After the third failure, a minute passes.
  let later = 0;
  const runtime = { ...systemRuntime, monotonic: () => systemRuntime.monotonic() + later };
  const transport = kafkaTransport({ brokers: [broker], clientId: "test" }, [], runtime, log);
  const subscription = transport.subscribe({
    group: "readers",
    topics: ["letters"],
    startAt: () => undefined,
    handle: () => Promise.reject(new Error("there is nothing to handle")),
  });
  const failures = () => lines.filter(({ fields }) => "err" in fields).length;
  const warnings = () => lines.filter(({ level }) => level === "warn" || level === "error");
  try {
    await eventually(() => failures() >= 3, "three failures");
    expect(warnings()).toEqual([
      {
        level: "warn",
        text: expect.stringMatching(
          new RegExp(
            `^not consuming from the broker at ${broker}: .*ECONNREFUSED.*; it is tried again every 2 s$`,
          ),
        ),
        fields: { group: "readers", failures: 1 },
      },
    ]);
    later = 60_000;
    await eventually(() => warnings().length === 2, "the second warning");
  } finally {
    await subscription.stop();
    await transport.close();
  }
  expect(warnings()).toHaveLength(2);
  expect(lines.filter(({ level, fields }) => level !== "debug" && "err" in fields)).toEqual([]);
});

test("a publish names the broker that cannot be reached", async () => {
  const broker = `127.0.0.1:${await closedPort()}`;
  const transport = kafkaTransport({ brokers: [broker], clientId: "test" }, [], systemRuntime, silentLogger);
  const record = { topic: "letters", key: null, value: "", headers: {} };
  try {
    const failure = await failureOf(transport.publish([record]));
    expect(failure).toMatch(new RegExp(`the broker at ${broker}: .*ECONNREFUSED`));
  } finally {
    await transport.close();
  }
});
