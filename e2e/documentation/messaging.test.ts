import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/* The numbers of docs/messaging.md are compared with the code. e2e/packages runs its tutorial. */

const page = readFileSync(join(ROOT, "docs/messaging.md"), "utf8");

describe("bounds", () => {
  const UNITS: Readonly<Record<string, number>> = {
    KiB: 1024,
    MiB: 1024 ** 2,
    ms: 1,
    s: 1_000,
    days: 24 * 60 * 60 * 1_000,
  };
  const rows = [...page.matchAll(/^\| [^|]+ \| (\d+) ?(\w*) +\| `(\S+)` `(\w+)` +\|/gm)];

  test("are all of the table", () => {
    const table = /^### Bounds$.*?^(\| what .*?)\n\n/ms.exec(page)?.[1] ?? "";
    expect(rows.length).toBe(table.split("\n").length - 2);
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map(([, amount, unit, file, name]) => [file, name, amount, unit] as const))(
    "%s %s is %s %s",
    (file = "", name = "", amount = "", unit = "") => {
      const source = readFileSync(join(ROOT, "shared", file), "utf8");
      expect(valueIn(source, name)).toBe(Number(amount) * (UNITS[unit] ?? 1));
    },
  );
});

/** The number that a source gives a name: `NAME = 8 * 1024`, `name: 8 * 1024`, or its `default:`. */
function valueIn(source: string, name: string): number {
  const product = "[\\d_]+(?: \\* [\\d_A-Z]+)*";
  const text = new RegExp(`\\b${name}(?: =|:)(?: Type\\..*?default:)? (${product})`).exec(source)?.[1];
  if (text === undefined) throw new Error(`${name} is not given a number`);
  const factors = text.split(" * ").map((factor) => {
    return /^[A-Z]/.test(factor) ? valueIn(source, factor) : Number(factor.replaceAll("_", ""));
  });
  return factors.reduce((result, factor) => result * factor, 1);
}
