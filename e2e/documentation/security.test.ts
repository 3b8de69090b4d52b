import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { expectTest, hasTest } from "./named-tests.ts";

/* Every row of docs/security.md names a test that exists: `path/of/file.ts`: title as in the source. */

const page = readFileSync(join(ROOT, "docs/security.md"), "utf8");
const rows = [...page.matchAll(/^\| (?!-+ \||attempt +\|)(.*) \|$/gm)].map(([, row = ""]) => row);

describe("the table of docs/security.md", () => {
  test("has rows", () => {
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map((row) => row.split(" | ").map((cell) => cell.trim())))("%s", (...cells) => {
    const [attempt = "", outcome = "", named = "", ...rest] = cells;
    expect(rest).toEqual([]);
    expect(attempt).not.toBe("");
    expect(outcome).not.toBe("");
    const tests = named.split("<br>").map((each) => /^`([\w./-]+\.ts)`: (.+)$/.exec(each) ?? []);
    for (const [, file = "", title = ""] of tests) {
      expectTest(file, title);
    }
  });

  test("a title that is not that of a test is found out", () => {
    expect(hasTest('test("a b", () => {', "a b")).toBe(true);
    expect(hasTest('test.each([1])(\n    "a b",', "a b")).toBe(true);
    expect(hasTest("test(`a b`, () => {", "a b")).toBe(true);
    expect(hasTest('test.skip("a b", () => {', "a b")).toBe(false);
    expect(hasTest('test("a b c", () => {', "a b")).toBe(false);
    expect(hasTest('// "a b"', "a b")).toBe(false);
  });
});
