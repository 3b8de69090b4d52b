import { describe, expect, test } from "bun:test";
import { migrate, openDatabase } from "@distributed-messaging/messaging";
import { cursorText, parseAfter } from "./cursor.ts";
import { migrations } from "./migrations/index.ts";
import { NotificationStore } from "./store.ts";

const CUSTOMER = "ANN";
const cursor = {
  ...{ database: "d", seq: 7, offsets: new Map([[3, 41]]), brought: new Map([[1, 2]]) },
};

describe("what a client has read", () => {
  test("is the same after it was a text", () => {
    expect(parseAfter(cursorText(cursor))).toEqual(cursor);
    expect(parseAfter("12")).toBe(12);
  });

  const text = (content: unknown) => `c${Buffer.from(JSON.stringify(content)).toString("base64url")}`;
  test.each([
    ["nothing", ""],
    ["no number", "-1"],
    ["too large a number", "9".repeat(16)],
    ["no text of JSON", "cabc"],
    ["another text of JSON", text({ seq: 1 })],
    ["a part of a cursor", text(["d", 1, []])],
    ["a negative offset", text(["d", 1, [[0, -1]], []])],
    ["no number of a partition", text(["d", 1, [["0", 1]], []])],
    ["a text that is too long", `c${"A".repeat(8_001)}`],
  ])("is not %s", (_, given) => expect(parseAfter(given)).toBeUndefined());
});

/** The events of a customer, by partition in the order of their offsets. */
const PARTITIONS = 3;
const PER_PARTITION = 40;

/** One instance: it stores the events of each partition in order, but its partitions in an order of its own. */
class Instance {
  readonly database = openDatabase(":memory:");
  readonly #next = Array.from({ length: PARTITIONS }, () => 0);
  readonly store: NotificationStore;

  constructor(name: string) {
    migrate(this.database, "notification", migrations);
    this.store = new NotificationStore(this.database, name);
  }

  /** Stores the next event of a partition, if there is one. @returns whether there was */
  take(partition: number): boolean {
    const offset = this.#next[partition] ?? 0;
    if (offset === PER_PARTITION) return false;
    this.#next[partition] = offset + 1;
    this.put(partition, offset);
    return true;
  }

  put(partition: number, offset: number): void {
    const notificationId = `${partition}/${offset}`;
    const texts = { orderId: "X", type: "order.confirmed", message: "confirmed" } as const;
    const at = "2026-01-31T12:00:00.000Z";
    this.store.add({ notificationId, customerId: CUSTOMER, ...texts, at, partition, offset });
  }

  /** The ids of what a client does not have, and its cursor after that. */
  read(after: string, limit = 500) {
    const page = this.store.after(CUSTOMER, after, limit);
    return { ids: page.map(({ notificationId }) => notificationId), after: page.at(-1)?.cursor ?? after };
  }
}

/** The same sequence for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

describe("a client that moves between instances", () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    "has each notification once, whatever the order in which each has stored them (%d)",
    (seed) => {
      const next = random(seed);
      const instances = ["a", "b", "c"].map((name) => new Instance(name));
      const received: string[] = [];
      let after = "0";
      let left = PARTITIONS * PER_PARTITION * instances.length;
      while (left > 0) {
        for (const instance of instances) if (instance.take(next(PARTITIONS))) left -= 1;
        const at = instances[next(instances.length)];
        if (next(3) > 0 || at === undefined) continue;
        const page = at.read(after, 1 + next(5));
        received.push(...page.ids);
        after = page.after;
      }
      for (const instance of instances) {
        const page = instance.read(after);
        received.push(...page.ids);
        after = page.after;
      }
      expect(received.length).toBe(PARTITIONS * PER_PARTITION);
      expect(new Set(received).size).toBe(received.length);
      for (const { database } of instances) database.close();
    },
  );

  test("to one that is behind is not sent again what that stores later, also after it came back to it", () => {
    const [ahead, behind] = [new Instance("a"), new Instance("b")];
    for (let count = 0; count < 10; count += 1) ahead.take(0);
    behind.take(0);
    let { after } = ahead.read("0");
    behind.take(1);
    const first = behind.read(after);
    expect(first.ids).toEqual(["1/0"]);
    after = first.after;
    for (let count = 0; count < 10; count += 1) behind.take(0);
    expect(behind.read(after).ids).toEqual(["0/10"]);
  });

  test("reads partitions that were added, from their beginning", () => {
    const [one, other] = [new Instance("a"), new Instance("b")];
    for (const instance of [one, other]) instance.take(0);
    const { after } = one.read("0");
    other.take(2);
    expect(other.read(after).ids).toEqual(["2/0"]);
  });

  test("to a database that was made again from the topics misses nothing and has nothing twice", () => {
    const [lost, made] = [new Instance("a"), new Instance("a")];
    for (const partition of [0, 1, 2, 0]) lost.take(partition);
    const { after } = lost.read("0");
    for (const partition of [2, 0, 0, 0, 1, 1]) made.take(partition);
    expect(made.read(after).ids).toEqual(["0/2", "1/1"]);
  });

  test("has a whole page, although what it has fills the first ones", () => {
    const [one, other] = [new Instance("a"), new Instance("b")];
    for (const instance of [one, other]) for (let count = 0; count < 5; count += 1) instance.take(0);
    const { after } = one.read("0");
    other.take(0);
    expect(other.read(after, 2).ids).toEqual(["0/5"]);
  });

  test("to a copy of its database under another name reads on by the events", () => {
    const one = new Instance("a");
    one.take(0);
    const copy = new NotificationStore(one.database, "b");
    const { after } = one.read("0");
    // The number is less than one that the client has from the other database.
    one.take(1);
    const moved = copy.after(CUSTOMER, after, 10);
    expect(moved.map(({ notificationId }) => notificationId)).toEqual(["1/0"]);
    expect(moved[0]?.cursor).not.toBe(one.read(after).after);
  });
});

describe("at one instance", () => {
  test("a number and a cursor mean the same, and what was stored late is not left out", () => {
    const instance = new Instance("");
    for (const offset of [0, 2, 3]) instance.put(0, offset);
    const page = instance.store.after(CUSTOMER, "0", 2);
    // As one whose event was a dead letter.
    instance.put(0, 1);
    for (const after of [String(page[1]?.seq), page[1]?.cursor ?? ""]) {
      expect(instance.read(after).ids).toEqual(["0/3", "0/1"]);
    }
    expect(instance.read("3").after).toBe(instance.read(page[1]?.cursor ?? "").after);
  });

  test("the cursor after a number moves to another instance", () => {
    const [one, other] = [new Instance("a"), new Instance("b")];
    for (const partition of [0, 1, 0, 2]) one.take(partition);
    for (const partition of [2, 1, 0, 0]) other.take(partition);
    const { ids, after } = one.read("3");
    expect(ids).toEqual(["2/0"]);
    expect(other.read(after).ids).toEqual([]);
  });

  test("a notification of a version before positions is read, and moves once a rebuild has found its event", () => {
    const [one, other] = [new Instance("a"), new Instance("b")];
    for (const instance of [one, other]) instance.take(0);
    const { sql } = one.database;
    sql.run(`UPDATE notifications SET partition = NULL, "offset" = NULL`);
    expect(one.read("0").ids).toEqual(["0/0"]);
    sql.run("UPDATE rebuild SET generation = 2");
    one.put(0, 0);
    const { ids, after } = one.read("0");
    expect(ids).toEqual(["0/0"]);
    expect(other.read(after).ids).toEqual([]);
  });
});
