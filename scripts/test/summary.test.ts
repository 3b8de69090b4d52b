import { expect, test } from "bun:test";
import { countTests, FileCount } from "./summary.ts";

const summary = (...lines: string[]) => [...lines, "Ran 9 tests across 2 files. [1.00s]", ""].join("\n");

test("reads the summary of bun test", () => {
  const output = summary(
    "(pass) a [1ms]",
    "",
    " 5 pass",
    " 1 skip",
    " 2 todo",
    " 1 fail",
    " 12 expect() calls",
  );
  expect(countTests(output, 1)).toEqual({ passed: 5, failed: 1, skipped: 3 });
});

test("reads it with colours", () => {
  const output = summary("\x1b[0m\x1b[32m 5 pass\x1b[0m", "\x1b[2m 0 fail\x1b[0m");
  expect(countTests(output, 0)).toEqual({ passed: 5, failed: 0, skipped: 0 });
});

test("ignores the output of tests", () => {
  expect(countTests(summary("100 pass", "", "1 pass", "0 fail"), 0)).toEqual({
    passed: 1,
    failed: 0,
    skipped: 0,
  });
});

test("counts a run with an exit code other than 0 as failed", () => {
  expect(countTests("Segmentation fault", 139)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(countTests(summary("3 pass", "0 fail"), 1)).toEqual({ passed: 3, failed: 1, skipped: 0 });
});

test("counts the files that were begun, each once, also when their lines arrive in pieces", () => {
  const files = new FileCount();
  expect(files.add("e2e/a.te")).toBe(0);
  expect(files.add("st.ts:\n(pass) b.test.ts: is read [1ms]\n\x1b[1mweb/c.test.tsx:\x1b[0m\n")).toBe(2);
  expect(files.add("e2e/a.test.ts:\n")).toBe(2);
});
