import { expect, test } from "bun:test";
import { createLogger, FailureLog } from "./logger.ts";

test("a failure that is repeated is logged in few lines, and once when it is over", () => {
  const lines: string[] = [];
  let now = 0;
  const failures = new FailureLog(
    createLogger("info", (line) => lines.push(line)),
    () => now,
  );
  const shown = () => lines.map((line) => JSON.parse(line)).map(({ msg, ...rest }) => [msg, rest.failures]);
  for (let i = 0; i < 100; i++) failures.failed("error", "append failed", { log: "t-0" });
  const first = [1, 10, 20, 40, 80].map((count) => ["append failed", count]);
  expect(shown()).toEqual(first);
  now = 60_000;
  failures.failed("error", "append failed", { log: "t-0" });
  failures.over("appends succeed again", { log: "t-0" });
  failures.over("appends succeed again", { log: "t-0" });
  expect(shown().slice(5)).toEqual([
    ["append failed", 101],
    ["appends succeed again", 101],
  ]);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ level: "info", log: "t-0", seconds: 60 });
});
