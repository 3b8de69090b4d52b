import { expect, test } from "bun:test";
import { possibleKinds } from "./faults.ts";

const REMOVALS = ["stop and remove", "kill and remove", "destroy and remove"] as const;

test.each([
  // running, at the beginning, destroyed, removed, added
  [1, 1, false, false, true],
  [2, 1, true, true, false],
  [1, 2, false, false, true],
  [2, 2, true, true, true],
  [3, 2, true, true, false],
  [2, 3, true, false, true],
  [3, 3, true, true, true],
  [4, 3, true, true, false],
])(
  "of %p instances that run, of %p at the beginning, one is destroyed: %p, removed: %p, added: %p",
  (running, replicas, destroyed, removed, added) => {
    const possible = possibleKinds(running, replicas);
    expect(possible.includes("destroy")).toBe(destroyed);
    for (const removal of REMOVALS) expect(possible.includes(removal)).toBe(removed);
    expect(possible.includes("add")).toBe(added);
  },
);

test("where a service runs once, it is neither destroyed nor removed, and none is added", () => {
  expect(new Set(possibleKinds(1, undefined))).toEqual(new Set(["kill", "pause", "long pause", "outage"]));
});
