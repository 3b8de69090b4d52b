import { expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/**
 * Whether a source calls `test("title"` or `slowTest("title"`, or gives the title to `test.each(…)("title"`; a skipped test is
 * none.
 */
export function hasTest(source: string, title: string): boolean {
  const quoted = title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?:\\b(?:test|slowTest)(?:\\.concurrent)?|\\))\\(\\s*(["\`])${quoted}\\1`).test(source);
}

/** Expects that a file of the repository has a test of a title, as it is in the source. */
export function expectTest(file: string, title: string): void {
  expect({ file, exists: existsSync(join(ROOT, file)) }).toEqual({ file, exists: true });
  const source = readFileSync(join(ROOT, file), "utf8");
  expect({ file, title, exists: hasTest(source, title) }).toEqual({ file, title, exists: true });
}
