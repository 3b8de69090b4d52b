import { expect, test } from "bun:test";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import fc from "fast-check";
import { migrations } from "./migrations/index.ts";
import { Peaks } from "./peaks.ts";

/** Places in line that lie in the same block, in neighbouring ones, and far apart. */
const arrival = fc.oneof(fc.nat(40), fc.nat(400), fc.nat(60_000));
const step = fc.record({ arrival, quantity: fc.integer({ min: 1, max: 9 }), than: fc.nat(9) });

/** On a machine that is busy with something else. */
const LIMIT_MS = 60_000;

test(
  "finds the first who asks for more, as going through the whole line does",
  () => {
    const database = openDatabase(":memory:");
    migrate(database, "inventory", migrations);
    const peaks = new Peaks(database);
    const check = fc.property(fc.array(step, { minLength: 1, maxLength: 80, size: "max" }), (steps) => {
      peaks.clear();
      const line = new Map<number, number>();
      for (const { arrival: place, quantity, than } of steps) {
        // Who is there already leaves.
        if (line.delete(place)) peaks.remove("A", place);
        else {
          line.set(place, quantity);
          peaks.add("A", place, quantity);
        }
        const asking = [...line].filter(([, asked]) => asked > than).map(([where]) => where);
        expect(peaks.firstAskingForMore("A", than)).toBe(asking.length > 0 ? Math.min(...asking) : undefined);
        expect(peaks.firstAskingForMore("B", 0)).toBeUndefined();
      }
      for (const place of line.keys()) peaks.remove("A", place);
      expect(database.sql.query("SELECT * FROM waiting_peaks").all()).toEqual([]);
    });
    try {
      fc.assert(check, { numRuns: 200 });
    } finally {
      database.close();
    }
  },
  LIMIT_MS,
);

test("nobody leaves who is not there", () => {
  const database = openDatabase(":memory:");
  migrate(database, "inventory", migrations);
  expect(() => new Peaks(database).remove("A", 1)).toThrow("nobody waits for A at 1");
  database.close();
});
