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
import { type Decision, type Input, PRIORITY_PERIOD_MS, type Stock } from "./domain.ts";
import { carryOut, inMemory, linesOf } from "./testing/fixture.ts";

/** `X A2 B1`: order X for two of A and one of B. */
function place(text: string, customerId = "ANN"): Input {
  const [orderId = "", ...lines] = text.split(" ");
  return { kind: "place", orderId, customerId, lines: linesOf(lines.join(" ")) };
}

const cancel = (orderId: string): Input => ({ kind: "cancel", orderId });

/** `A2`: a restock of two of A. */
function restock(text: string, restockId: string = crypto.randomUUID()): Input {
  const [{ productId, quantity } = { productId: "", quantity: 0 }] = linesOf(text);
  return { kind: "restock", restockId, productId, quantity };
}

/** Given some stock and earlier inputs, when an input arrives, then these messages are emitted. */
function when(stock: Readonly<Record<string, number>>, history: readonly Input[], input: Input): string[] {
  const fixture = inMemory(stock);
  for (const before of history) carryOut(fixture, before);
  return asText(carryOut(fixture, input));
}

function asText({ messages }: Decision): string[] {
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
    return [names[definition.type], orderId, ...what].join(" ");
  });
}

const names: Readonly<Record<string, string>> = {
  [StockReserved.type]: "reserved",
  [StockShort.type]: "short",
  [StockRejected.type]: "rejected",
  [StockReleased.type]: "released",
};

describe("all lines or none", () => {
  test("given enough, then all is reserved", () => {
    expect(when({ A: 3, B: 1 }, [], place("X A3 B1"))).toEqual(["reserved X A3 B1"]);
  });

  test("given too little of one, then nothing is reserved and the shortage is published", () => {
    const fixture = inMemory({ A: 3, B: 1 });
    expect(asText(carryOut(fixture, place("X A5 B1")))).toEqual(["short X A2"]);
    expect(fixture.ledger.stock("B")).toEqual({ productId: "B", onHand: 1, reserved: 0 });
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
  test("given an earlier order is short of it, then no later order takes it, though there were enough for it", () => {
    expect(when({ A: 2 }, [place("X A3")], place("Y A1"))).toEqual(["short Y A1"]);
  });

  test("given an earlier order waits for another product, then a later order takes what it can", () => {
    expect(when({ A: 2, B: 0 }, [place("X A1 B1")], place("Y A2"))).toEqual([
      "reserved Y A2",
      "short X A1 B1",
    ]);
  });

  test("a restock serves waiting orders in order of arrival, as far as it goes", () => {
    const waiting = [place("X A2"), place("Y A1"), place("Z A3")];
    expect(when({ A: 0 }, waiting, restock("A4"))).toEqual(["reserved X A2", "reserved Y A1", "short Z A2"]);
  });

  test("a restock that is too small for the first serves no later order", () => {
    const waiting = [place("X A5"), place("Y A1")];
    expect(when({ A: 0 }, waiting, restock("A4"))).toEqual(["short X A1"]);
  });

  test("released stock serves waiting orders", () => {
    const before = [place("X A2 B1"), place("Y B1"), place("Z A1")];
    expect(when({ A: 2, B: 1 }, before, cancel("X"))).toEqual([
      "released X A2 B1",
      "reserved Y B1",
      "reserved Z A1",
    ]);
  });

  test("of two that need the same two products, the earlier goes first, whichever product is restocked first", () => {
    const before = [place("X A1 B1"), place("Y B1 A1"), restock("B1")];
    expect(when({ A: 0, B: 0 }, before, restock("A2"))).toEqual(["reserved X A1 B1", "short Y B1"]);
  });

  test("an order that leaves the queue unblocks later ones", () => {
    const before = [place("X A5"), place("Y A2"), place("Z A1")];
    expect(when({ A: 3 }, before, cancel("X"))).toEqual(["reserved Y A2", "reserved Z A1"]);
  });

  test("an order that becomes the first in the queue publishes its new shortage", () => {
    const before = [place("X A5"), place("Y A4"), place("Z A1")];
    expect(when({ A: 3 }, before, cancel("X"))).toEqual(["short Y A1"]);
  });
});

describe("priority", () => {
  const policy = { priorityMs: 900, priorityQuantity: 50, maxWaiting: 3 };

  /** Given inputs at their times, then these messages are emitted at each. */
  function at(stock: Readonly<Record<string, number>>, ...inputs: [now: number, input: Input | undefined][]) {
    const fixture = inMemory(stock);
    return inputs.map(([now, input]) => asText(carryOut(fixture, input, { now, policy })));
  }

  test("given a waiting order within its time, then no later order overtakes it", () => {
    expect(at({ A: 5 }, [0, place("BIG A6")], [899, place("Y A1", "BOB")])[1]).toEqual(["short Y A1"]);
  });

  test("given a waiting order after its time, then a later order takes what it needs", () => {
    expect(at({ A: 5 }, [0, place("BIG A6")], [900, place("Y A1", "BOB")])[1]).toEqual(["reserved Y A1"]);
  });

  test("when its time is over, then those behind it are served, in order of arrival", () => {
    const waiting = [place("BIG A6"), place("Y A2", "BOB"), place("Z A4", "EVE"), place("V A1", "EVE")];
    const placed = waiting.map((input, index): [number, Input] => [index, input]);
    expect(at({ A: 5 }, ...placed, [900, undefined], [901, undefined], [902, undefined]).slice(4)).toEqual([
      ["reserved Y A2", "short BIG A3", "short Z A1"],
      [],
      ["reserved V A1", "short Z A2"],
    ]);
  });

  test("when its time is over, then it holds back nothing that it becomes short of by that", () => {
    const waiting = [place("BIG A4 B3"), place("Y A2 B1", "BOB"), place("Z A2 B1", "EVE")];
    const placed = waiting.map((input, index): [number, Input] => [index, input]);
    expect(at({ A: 5, B: 2 }, ...placed, [900, undefined]).at(-1)).toEqual([
      "reserved Y A2 B1",
      "reserved Z A2 B1",
      "short BIG A3 B3",
    ]);
  });

  test("given enough of everything, then an order is served first that was the first to come, also after its time", () => {
    const waiting = [place("BIG A6"), place("Y A9", "BOB")];
    const placed = waiting.map((input): [number, Input] => [0, input]);
    expect(at({ A: 5 }, ...placed, [950, restock("A1")]).at(-1)).toEqual([
      "short Y A4",
      "reserved BIG A6",
      "short Y A9",
    ]);
  });

  test("given an order for very much, then it waits, and nobody waits for it", () => {
    const whale = place("WHALE A51", "EVE");
    expect(at({ A: 50 }, [0, whale], [1, place("Y A1")])).toEqual([["short WHALE A1"], ["reserved Y A1"]]);
    expect(at({ A: 50 }, [0, whale], [1, restock("A1")])[1]).toEqual(["reserved WHALE A51"]);
  });

  test("of one customer's orders lasts for one such time a day, however many they place and cancel", () => {
    const day = PRIORITY_PERIOD_MS;
    const eve = (now: number, id: string): [number, Input][] => [
      [now, place(`${id} A6`, "EVE")],
      [now, place(`${id}BOB A1`, "BOB")],
      [now, cancel(id)],
      [now, cancel(`${id}BOB`)],
    ];
    const holdsBack = (answers: string[][]) =>
      answers.flatMap((messages) => messages.filter((text) => /^(short|reserved) .BOB A1/.test(text)));
    expect(
      holdsBack(
        at(
          { A: 5 },
          ...eve(0, "P"),
          ...eve(899, "Q"),
          ...eve(900, "R"),
          ...eve(day - 1, "S"),
          ...eve(day, "T"),
        ),
      ),
    ).toEqual([
      "short PBOB A1",
      "reserved PBOB A1",
      "short QBOB A1",
      "reserved QBOB A1",
      "reserved RBOB A1",
      "reserved SBOB A1",
      "short TBOB A1",
      "reserved TBOB A1",
    ]);
  });

  test("given a customer's orders wait, as many as may, then a further one that would wait is rejected", () => {
    const waiting = ["P", "Q", "R"].map((id): [number, Input] => [0, place(`${id} A1`)]);
    const answers = at(
      { A: 0, B: 1 },
      ...waiting,
      [1, place("S A1")],
      [1, place("T B1")],
      [1, place("U A1", "BOB")],
      [2, cancel("Q")],
      [2, place("V A1")],
    );
    expect(answers.slice(3)).toEqual([
      ["rejected S 3 of your orders wait for stock already"],
      ["reserved T B1"],
      ["short U A1"],
      [],
      ["short V A1"],
    ]);
  });
});

describe("shortages are published again", () => {
  test("by the first of the orders that are still blocked on another product", () => {
    const waiting = [place("X A1 B1"), place("Y A1 B1"), place("Z A1 C1")];
    expect(when({ A: 0, B: 0, C: 0 }, waiting, restock("A5"))).toEqual(["short X B1", "short Z C1"]);
  });

  test("not while they are the same", () => {
    const waiting = [place("X A1 B1"), place("Y A1 B1")];
    expect(when({ A: 0, B: 0 }, [...waiting, restock("A5")], restock("A5"))).toEqual([]);
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

  test("before the order arrives: it then takes nothing", () => {
    expect(when({ A: 1 }, [cancel("X")], place("X A1"))).toEqual([]);
  });
});

describe("restocking", () => {
  const stockAfter = (onHand: number, ...inputs: readonly Input[]): Stock | undefined => {
    const fixture = inMemory({ A: onHand });
    for (const input of inputs) carryOut(fixture, input);
    return fixture.ledger.stock("A");
  };

  test("the same restock twice takes effect once; under its id other content is refused", () => {
    expect(stockAfter(1, restock("A2", "R"), restock("A2", "R"))).toMatchObject({ onHand: 3 });
    expect(() => stockAfter(1, restock("A2", "R"), restock("A3", "R"))).toThrow("restock R");
    expect(() => stockAfter(1, restock("A2", "R"), restock("B2", "R"))).toThrow("restock R");
  });

  test("of an unknown product is refused", () => {
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

  test("a quantity beyond the contract is refused", () => {
    const data = { restockId: "R", productId: "A", quantity: MAX_QUANTITY };
    expect(Restock.check.Check(data)).toBe(true);
    for (const quantity of [0, -1, 0.5, MAX_QUANTITY + 1]) {
      expect(Restock.check.Check({ ...data, quantity })).toBe(false);
    }
  });
});

test("the largest possible order: reserved to the last unit, and one unit short it reserves nothing", () => {
  const products = Array.from({ length: MAX_LINES }, (_, index) => `P${index}`);
  const lines = products.map((productId) => ({ productId, quantity: MAX_QUANTITY }));
  const stock = Object.fromEntries(products.map((productId) => [productId, MAX_QUANTITY]));
  const order: Input = { kind: "place", orderId: "X", customerId: "ANN", lines };
  const enough = inMemory(stock);
  expect(carryOut(enough, order).stock).toHaveLength(MAX_LINES);
  for (const productId of products) {
    expect(enough.ledger.stock(productId)).toEqual({
      productId,
      onHand: MAX_QUANTITY,
      reserved: MAX_QUANTITY,
    });
  }
  const short = inMemory({ ...stock, P99: MAX_QUANTITY - 1 });
  expect(asText(carryOut(short, order))).toEqual(["short X P991"]);
});
