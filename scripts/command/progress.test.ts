import { expect, test } from "bun:test";
import { Progress, timeLeft } from "./progress.ts";

function recorded(isTTY: boolean, env: Record<string, string> = {}) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const output = { isTTY, write: (text: string) => written.push(text) };
  return { written, clock, progress: new Progress(output, env, () => clock.ms) };
}

test("in a terminal, a line is written over, with the time that is left", () => {
  const { written, clock, progress } = recorded(true);
  progress.show("0 of 4", 0, 4);
  clock.ms = 10_000;
  progress.show("1 of 4", 1, 4);
  progress.show("1 of 4", 1, 4);
  progress.clear();
  progress.clear();
  expect(written).toEqual(["\r\x1b[2K0 of 4", "\r\x1b[2K1 of 4, about 30 s left", "\r\x1b[2K"]);
});

test.each([
  ["without a terminal", false, {}],
  ["with NO_COLOR", true, { NO_COLOR: "1" }],
])("%s, plain lines, at most one in ten seconds", (_, isTTY, env) => {
  const { written, clock, progress } = recorded(isTTY, env);
  progress.show("0 of 4", 0, 4);
  clock.ms = 10_000;
  progress.show("1 of 4", 1, 4);
  clock.ms = 19_999;
  progress.show("2 of 4", 2, 4);
  clock.ms = 20_000;
  progress.show("2 of 4", 2, 4);
  progress.clear();
  expect(written).toEqual(["1 of 4, about 30 s left\n", "2 of 4, about 20 s left\n"]);
});

test("the time that is left is in seconds or minutes, and unknown before and after the work", () => {
  expect(timeLeft(1_000, 1, 90)).toBe("89 s");
  expect(timeLeft(1_000, 1, 601)).toBe("10 min");
  expect([timeLeft(1_000, 0, 5), timeLeft(1_000, 5, 5), timeLeft(1_000, 1)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
