import { expect, test } from "bun:test";
import { edgeOf, halfOf, planMap } from "./geometry.ts";

const four = ["api-gateway", "inventory", "order", "notification"];
/** From a phone at 400 % to a wide screen. */
const widths = [288, 358, 448, 700, 859, 860, 1200];

test.each([
  ["four services", four],
  ["five services", [...four, "shipping"]],
])("no part of the map covers another one or leaves the map, large and small: %s", (_, services) => {
  for (const isLarge of [true, false]) {
    for (const width of widths) {
      const plan = planMap(services, width, isLarge);
      const boxes = [...plan.centers].map(([name, { x, y }]) => {
        const half = halfOf(name, plan);
        return { name, left: x - half.x, right: x + half.x, top: y - half.y, bottom: y + half.y };
      });
      expect(boxes.map(({ name }) => name)).toContain("broker");
      for (const name of services) expect(plan.centers.has(name)).toBe(true);
      for (const box of boxes) {
        const isInside =
          box.left >= 0 && box.right <= width && box.top >= -2 && box.bottom <= plan.height + 2;
        expect({ isLarge, width, ...box, isInside }).toMatchObject({ isInside: true });
        for (const other of boxes) {
          if (other === box) continue;
          const isApart =
            box.right <= other.left ||
            other.right <= box.left ||
            box.bottom <= other.top ||
            other.bottom <= box.top;
          expect({ isLarge, width, one: box.name, other: other.name, isApart }).toMatchObject({
            isApart: true,
          });
        }
      }
    }
  }
});

test("a line leaves a part at its edge", () => {
  const half = { x: 10, y: 5 };
  expect(edgeOf({ x: 0, y: 0 }, { x: 100, y: 0 }, half)).toEqual({ x: 10, y: 0 });
  expect(edgeOf({ x: 0, y: 0 }, { x: 0, y: 50 }, half)).toEqual({ x: 0, y: 5 });
  expect(edgeOf({ x: 0, y: 0 }, { x: 100, y: 100 }, half)).toEqual({ x: 5, y: 5 });
  // A part that reaches over the half of the way.
  expect(edgeOf({ x: 0, y: 0 }, { x: 16, y: 0 }, half)).toEqual({ x: 10, y: 0 });
});
