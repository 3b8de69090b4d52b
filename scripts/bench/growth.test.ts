import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { besideNone } from "./growth.ts";
import { Histories } from "./history.ts";

test("what was measured with a history is compared with what was measured without", () => {
  const one = { section: "Start", name: "start-up, all", unit: "ms" };
  const values = { "0 orders": [10], "5 orders": [20], "1,000 orders": [30] };
  const disk = { section: "Disk", name: "disk of an order, all", unit: "kB", values: { "5 orders": [3] } };
  expect(besideNone([{ ...one, values }, disk], "5 orders")).toEqual([
    { ...one, section: "Start, 5 orders of history", values: { "5 orders": [20], "0 orders": [10] } },
    { ...disk, section: "Disk, 5 orders of history" },
  ]);
  expect(besideNone([disk], "1,000 orders")).toEqual([]);
});

test("a history that the folder has is used, and is not what is measured; an unfinished one does not count", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-histories-"));
  try {
    const histories = new Histories(folder);
    mkdirSync(join(folder, "orders-7-unfinished"));
    for (const count of [0, 5]) {
      mkdirSync(join(folder, `orders-${count}/broker/topics`), { recursive: true });
      writeFileSync(join(folder, `orders-${count}/order.sqlite`), "0");
      writeFileSync(join(folder, `orders-${count}/order.sqlite-wal`), "1");
      writeFileSync(join(folder, `orders-${count}/broker/topics/0.log`), "0".repeat(count));
    }
    const made: string[] = [];
    await histories.provide([5, 0], (line) => made.push(line));
    expect(made).toEqual([]);
    const copy = histories.copy(5, "measured");
    writeFileSync(join(copy, "order.sqlite"), "changed");
    expect(readdirSync(histories.copy(5, "measured")).toSorted()).toEqual([
      "broker",
      "order.sqlite",
      "order.sqlite-wal",
    ]);
    expect(await Bun.file(join(folder, "orders-5/order.sqlite")).text()).toBe("0");
    expect([...histories.sizes(5).keys()].toSorted()).toEqual(["broker", "order"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
