import { expect, test } from "bun:test";
import { logFormat } from "./log-format.ts";

const time = new Date(2026, 0, 2, 3, 4, 5, 67).toISOString();
const plain = logFormat(false);

test("a JSON log line becomes time, process, level, message and fields", () => {
  const line = JSON.stringify({
    level: "info",
    time,
    app: "order",
    msg: "relay caught up",
    rows: 3,
    topic: "a b",
  });
  expect(plain({ process: "order", source: "stdout", line })).toBe(
    '03:04:05.067 order        info  relay caught up rows=3 topic="a b"',
  );
});

test("numeric levels and times", () => {
  const line = JSON.stringify({ level: 50, time: new Date(time).getTime(), msg: "no", err: { code: 1 } });
  expect(plain({ process: "broker", source: "stdout", line })).toBe(
    '03:04:05.067 broker       error no err={"code":1}',
  );
});

test.each(["broker listening", '{"a":1}', "{broken", "[1]"])("%s is printed unchanged", (line) => {
  expect(plain({ process: "broker", source: "stdout", line })).toBe(`broker       ${line}`);
});

test("control and bidirectional characters are visible", () => {
  expect(plain({ process: "order", source: "stderr", line: "a\x1b[2Jb" })).toBe("order        a\\u001b[2Jb");
  const line = JSON.stringify({ level: "info", msg: "a\u001b[2Jb", key: "a \u202eb\n" });
  expect(plain({ process: "order", source: "stdout", line })).toBe(
    'order        info  a\\u001b[2Jb key="a \\u202eb\\n"',
  );
});

test("with colours, each process has its own", () => {
  const coloured = logFormat(true);
  const order = coloured({ process: "order", source: "stdout", line: "x" });
  expect(order).toBe("\x1b[36morder       \x1b[0m x");
  expect(coloured({ process: "inventory", source: "stdout", line: "x" })).toBe(
    "\x1b[33minventory   \x1b[0m x",
  );
  expect(coloured({ process: "order", source: "stdout", line: "x" })).toBe(order);
});
