import { describe, expect, test } from "bun:test";
import {
  MAX_LINES,
  MAX_QUANTITY,
  MAX_STOCK,
  Restock,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import type { Decision, Input, Stock } from "./domain.ts";
import { carryOut, linesOf, memoryShop } from "./testing/shop.ts";

/** `X A2 B1`: order X for two of A and one of B. */
function place(text: string): Input {
  const [orderId = "", ...lines] = text.split(" ");
  return { kind: "place", orderId, lines: linesOf(lines.join(" ")) };
}

const cancel = (orderId: string): Input => ({ kind: "cancel", orderId });

/** `A2`: two of A come in. */
function restock(text: string, restockId: string = crypto.randomUUID()): Input {
  const [{ productId, quantity } = { productId: "", quantity: 0 }] = linesOf(text);
  return { kind: "restock", restockId, productId, quantity };
}

/** Given some stock and what happened so far, when something happens, then this is said. */
function when(stock: Readonly<Record<string, number>>, history: readonly Input[], input: Input): string[] {
  const shop = memoryShop(stock);
  for (const before of history) carryOut(shop, before);
  return inWords(carryOut(shop, input));
}

function inWords({ messages }: Decision): string[] {
  return messages.map(({ definition, data }) => {
    expect(definition.check.Check(data)).toBe(true);
    const { orderId, lines, shortages, reason } = data as {
      orderId: string;
      lines?: { productId: string; quantity: number }[];
      shortages?: { productId: string; missing: number }[];
      reason?: string;
    };
    const what = [
      ...(lines ?? []).map(({ productId, quantity }) => `${productId}${quantity}`),
      ...(shortages ?? []).map(({ productId, missing }) => `${productId}${missing}`),
      ...(reason === undefined ? [] : [reason]),
    ];
    return [said[definition.type], orderId, ...what].join(" ");
  });
}

const said: Readonly<Record<string, string>> = {
  [StockReserved.type]: "reserved",
  [StockShort.type]: "short",
  [StockRejected.type]: "rejected",
  [StockReleased.type]: "released",
};

describe("all lines or none", () => {
  test("given enough, then all is reserved", () => {
    expect(when({ A: 3, B: 1 }, [], place("X A3 B1"))).toEqual(["reserved X A3 B1"]);
  });

  test("given too little of one, then nothing is reserved and the order is told what is missing", () => {
    const shop = memoryShop({ A: 3, B: 1 });
    expect(inWords(carryOut(shop, place("X A5 B1")))).toEqual(["short X A2"]);
    expect(shop.books.stock("B")).toEqual({ productId: "B", onHand: 1, reserved: 0 });
  });

  test("given no such product, then the order is rejected, whatever else it asks for", () => {
    expect(when({ A: 3 }, [], place("X A9 B1"))).toEqual(["rejected X unknown product B"]);
  });

  test("placed twice is placed once", () => {
    expect(when({ A: 3 }, [place("X A1")], place("X A1"))).toEqual([]);
    expect(when({ A: 0 }, [place("X A1")], place("X A1"))).toEqual([]);
    expect(when({ A: 3 }, [place("X B1")], place("X B1"))).toEqual([]);
  });

  test("a product that occurs twice is refused: each line could be there and both not", () => {
    expect(() => when({ A: 3 }, [], place("X A2 A2"))).toThrow("X names a product twice");
  });
});

describe("first come, first served", () => {
  test("given somebody is short of it, then nobody behind takes it, though there were enough for them", () => {
    expect(when({ A: 2 }, [place("X A3")], place("Y A1"))).toEqual(["short Y A1"]);
  });

  test("given somebody waits for something else, then the rest is for everybody", () => {
    expect(when({ A: 2, B: 0 }, [place("X A1 B1")], place("Y A2"))).toEqual([
      "reserved Y A2",
      "short X A1 B1",
    ]);
  });

  test("a restock serves those who wait in order of arrival, as far as it goes", () => {
    const waiting = [place("X A2"), place("Y A1"), place("Z A3")];
    expect(when({ A: 0 }, waiting, restock("A4"))).toEqual(["reserved X A2", "reserved Y A1", "short Z A2"]);
  });

  test("a restock that is too small for the first serves nobody behind it", () => {
    const waiting = [place("X A5"), place("Y A1")];
    expect(when({ A: 0 }, waiting, restock("A4"))).toEqual(["short X A1"]);
  });

  test("what is released goes to those who wait", () => {
    const before = [place("X A2 B1"), place("Y B1"), place("Z A1")];
    expect(when({ A: 2, B: 1 }, before, cancel("X"))).toEqual([
      "released X A2 B1",
      "reserved Y B1",
      "reserved Z A1",
    ]);
  });

  test("of two that need the same two products, the earlier goes first, whichever came in first", () => {
    const before = [place("X A1 B1"), place("Y B1 A1"), restock("B1")];
    expect(when({ A: 0, B: 0 }, before, restock("A2"))).toEqual(["reserved X A1 B1", "short Y B1"]);
  });

  test("an order that leaves the line lets those go whom it was in the way of", () => {
    const before = [place("X A5"), place("Y A2"), place("Z A1")];
    expect(when({ A: 3 }, before, cancel("X"))).toEqual(["reserved Y A2", "reserved Z A1"]);
  });

  test("what is left for the next in line is told to it", () => {
    const before = [place("X A5"), place("Y A4"), place("Z A1")];
    expect(when({ A: 3 }, before, cancel("X"))).toEqual(["short Y A1"]);
  });
});

describe("cancelling", () => {
  test("twice is once", () => {
    expect(when({ A: 1 }, [place("X A1"), cancel("X")], cancel("X"))).toEqual([]);
    expect(when({ A: 0 }, [place("X A1"), cancel("X")], cancel("X"))).toEqual([]);
  });

  test("a cancelled order that waited is not served any more", () => {
    expect(when({ A: 0 }, [place("X A1"), cancel("X")], restock("A1"))).toEqual([]);
  });

  test("a rejected order stays rejected", () => {
    expect(when({}, [place("X A1")], cancel("X"))).toEqual([]);
  });

  test("before the order is known: it takes nothing when it comes", () => {
    expect(when({ A: 1 }, [cancel("X")], place("X A1"))).toEqual([]);
  });
});

describe("restocking", () => {
  const stockAfter = (onHand: number, ...inputs: readonly Input[]): Stock | undefined => {
    const shop = memoryShop({ A: onHand });
    for (const input of inputs) carryOut(shop, input);
    return shop.books.stock("A");
  };

  test("the same restock twice comes in once; under its id something else is refused", () => {
    expect(stockAfter(1, restock("A2", "R"), restock("A2", "R"))).toMatchObject({ onHand: 3 });
    expect(() => stockAfter(1, restock("A2", "R"), restock("A3", "R"))).toThrow("restock R");
    expect(() => stockAfter(1, restock("A2", "R"), restock("B2", "R"))).toThrow("restock R");
  });

  test("of a product that there is not is refused", () => {
    expect(() => stockAfter(1, restock("B1"))).toThrow("no product B");
  });

  test("up to the most that can be on hand is exact, one more is refused", () => {
    expect(stockAfter(MAX_STOCK - 1, restock("A1"))).toEqual({
      productId: "A",
      onHand: MAX_STOCK,
      reserved: 0,
    });
    expect(() => stockAfter(MAX_STOCK - 1, restock("A2"))).toThrow(`more than ${MAX_STOCK}`);
    expect(() => stockAfter(MAX_STOCK, restock("A1"))).toThrow(`more than ${MAX_STOCK}`);
  });

  test("a restock that is too large for its contract is none", () => {
    const data = { restockId: "R", productId: "A", quantity: MAX_QUANTITY };
    expect(Restock.check.Check(data)).toBe(true);
    for (const quantity of [0, -1, 0.5, MAX_QUANTITY + 1]) {
      expect(Restock.check.Check({ ...data, quantity })).toBe(false);
    }
  });
});

test("the largest order there can be: reserved to the last unit, and one unit short it reserves nothing", () => {
  const products = Array.from({ length: MAX_LINES }, (_, index) => `P${index}`);
  const lines = products.map((productId) => ({ productId, quantity: MAX_QUANTITY }));
  const stock = Object.fromEntries(products.map((productId) => [productId, MAX_QUANTITY]));
  const order: Input = { kind: "place", orderId: "X", lines };
  const enough = memoryShop(stock);
  expect(carryOut(enough, order).changed).toHaveLength(MAX_LINES);
  for (const productId of products) {
    expect(enough.books.stock(productId)).toEqual({
      productId,
      onHand: MAX_QUANTITY,
      reserved: MAX_QUANTITY,
    });
  }
  const short = memoryShop({ ...stock, P99: MAX_QUANTITY - 1 });
  expect(inWords(carryOut(short, order))).toEqual(["short X P991"]);
});
