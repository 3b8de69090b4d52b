interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Reads the counts from the end of the output of `bun test`:
 *
 *      12 pass
 *       1 skip
 *       0 fail
 *     Ran 13 tests across 2 files. [1.00s]
 *
 * Bun counts a file that it cannot load as a failure there, but leaves it out of its JUnit report.
 *
 * @param exitCode other than 0: there is at least one failure, even without counts
 */
export function countTests(output: string, exitCode: number): TestCounts {
  const lines = Bun.stripANSI(output)
    .split("\n")
    .map((line) => line.trim());
  const end = lines.findLastIndex((line) => /^Ran \d+ tests? across/.test(line));
  const counts = new Map<string, number>();
  for (let index = end - 1; index >= 0; index--) {
    const [, count, what] =
      /^(\d+) (pass|fail|skip|todo|filtered out|errors?|expect\(\) calls|snapshots?)\b/.exec(
        lines[index] ?? "",
      ) ?? [];
    if (count === undefined || what === undefined) break;
    counts.set(what, Number(count));
  }
  const of = (what: string) => counts.get(what) ?? 0;
  const failed = Math.max(of("fail"), exitCode === 0 ? 0 : 1);
  return { passed: of("pass"), failed, skipped: of("skip") + of("todo") };
}

/** Counts the test files whose results `bun test` has begun to print: each has a line `path/of/file.test.ts:`. */
export class FileCount {
  readonly #files = new Set<string>();
  #unfinished = "";

  /** @param text what was printed next, which may end within a line @returns the files up to now */
  add(text: string): number {
    const lines = (this.#unfinished + text).split("\n");
    this.#unfinished = lines.pop() ?? "";
    for (const line of lines) {
      const [, file] = /^(\S+\.test\.tsx?):$/.exec(Bun.stripANSI(line).trim()) ?? [];
      if (file !== undefined) this.#files.add(file);
    }
    return this.#files.size;
  }
}
