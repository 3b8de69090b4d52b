import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { OrderBackordered, OrderConfirmed, OrderPlaced } from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { replaceFile } from "@distributed-messaging/service/files";
import type { Notification } from "./store.ts";
import { type NotificationFixture, startNotificationFixture } from "./testing/fixture.ts";

let service: NotificationFixture["fixture"];
let tokenOf: NotificationFixture["tokenOf"];
beforeEach(async () => {
  ({ fixture: service, tokenOf } = await startNotificationFixture());
});
afterEach(() => service[Symbol.asyncDispose]());

/** A client that reconnects after the last notification that it has. */
class Reader {
  readonly received: Notification[] = [];
  readonly #token: string;
  #socket: WebSocket | undefined;

  constructor(token: string) {
    this.#token = token;
  }

  async connect(): Promise<void> {
    const after = this.received.at(-1)?.seq ?? 0;
    const url = `${service.url.replace("http", "ws")}/notifications?after=${after}`;
    const socket = new WebSocket(url, ["bearer", this.#token]);
    socket.addEventListener("message", ({ data }) => {
      // The next connection receives what still arrives on a closed one again.
      if (socket === this.#socket) this.received.push(JSON.parse(String(data)) as Notification);
    });
    this.#socket = socket;
    await new Promise((resolve) => socket.addEventListener("open", resolve));
  }

  cut(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }
}

const placed = (orderId: string, customerId = "ANN"): DataOf<typeof OrderPlaced> => ({
  orderId,
  customerId,
  items: [{ productId: "CUP", quantity: 1, unitPrice: { amount: 1, currency: "EUR" } }],
  total: { amount: 1, currency: "EUR" },
});

async function confirm(from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number += 1) {
    await service.publish(OrderConfirmed, {
      orderId: `X${number}`,
      customerId: number % 5 === 0 ? "BOB" : "ANN",
    });
  }
}

function stored(customerId = "ANN"): Notification[] {
  return service.parts.store.after(customerId, "0", 10_000);
}

describe("a connected client", () => {
  test("misses no notification and receives none twice, however often it or the service disconnects", async () => {
    const reader = new Reader(await tokenOf("ANN"));
    await confirm(1, 300);
    for (let round = 0; round < 6; round += 1) {
      await reader.connect();
      const had = reader.received.length;
      const sending = confirm(301 + 100 * round, 400 + 100 * round);
      await eventually(() => reader.received.length > had + 20);
      reader.cut();
      await sending;
      if (round % 2 === 1) await service.restart();
    }
    await reader.connect();
    await eventually(() => stored().length === 720);
    await eventually(() => reader.received.length >= 720);
    expect(reader.received).toEqual(stored());
    reader.cut();
  });

  test("whose key is withdrawn receives nothing more, and is closed with 1008", async () => {
    const url = `${service.url.replace("http", "ws")}/notifications`;
    const socket = new WebSocket(url, ["bearer", await tokenOf("ANN")]);
    const received: unknown[] = [];
    socket.addEventListener("message", ({ data }) => received.push(data));
    const closed = new Promise<number>((resolve) => {
      socket.addEventListener("close", ({ code }) => resolve(code));
    });
    await confirm(1, 1);
    await eventually(() => received.length === 1);
    replaceFile(join(service.dataDir, "jwks.json"), '{"keys":[]}', 0o600);
    await confirm(2, 2);
    expect(await closed).toBe(1008);
    expect([stored().length, received.length]).toEqual([2, 1]);
  });

  test("receives no other customer's notifications", async () => {
    const reader = new Reader(await tokenOf("BOB"));
    await reader.connect();
    await confirm(1, 20);
    await eventually(() => reader.received.length === 4);
    expect(reader.received).toEqual(stored("BOB"));
    reader.cut();
  });
});

describe("a backordered order", () => {
  const backordered = (revision: number, missing: number) =>
    service.publish(OrderBackordered, {
      orderId: "X1",
      customerId: "ANN",
      shortages: [{ productId: "CUP", missing }],
      revision,
    });

  test("is notified once, though its shortages change", async () => {
    await backordered(1, 3);
    await backordered(2, 2);
    await backordered(3, 1);
    await service.publish(OrderConfirmed, { orderId: "X1", customerId: "ANN" });
    await eventually(() => stored().length === 2);
    expect(stored().map(({ type, message }) => [type, message.includes("3 × CUP")])).toEqual([
      ["order.waiting", true],
      ["order.confirmed", false],
    ]);
  });
});

describe("the notifications are rebuilt", () => {
  async function rebuilt(): Promise<void> {
    await service.rebuild.begin(true);
    await eventually(() => service.rebuild.status().phase === "done");
  }

  test("with the same content and numbers: a client that reads on misses none and receives none twice", async () => {
    for (let number = 1; number <= 50; number += 1) await service.publish(OrderPlaced, placed(`X${number}`));
    await confirm(1, 50);
    await eventually(() => stored().length === 90);
    const before = stored();
    const reader = new Reader(await tokenOf("ANN"));
    await reader.connect();
    await eventually(() => reader.received.length === 90);
    const rebuilding = rebuilt();
    await confirm(51, 60);
    await rebuilding;
    await service.restart();
    await reader.connect();
    await eventually(() => reader.received.length === 98);
    expect(reader.received).toEqual(stored());
    expect(stored().slice(0, 90)).toEqual(before);
    reader.cut();
  });

  test("with the rows that were lost, and without rows that no message accounts for", async () => {
    await confirm(1, 50);
    await eventually(() => stored().length === 40);
    const before = stored();
    const { sql } = service.database;
    sql.run("UPDATE notifications SET message = 'wrong', customer_id = 'EVE' WHERE seq % 4 = 0");
    sql.run(
      `INSERT INTO notifications (notification_id, customer_id, order_id, type, message, at, generation)
       VALUES ('phantom', 'ANN', 'X1', 'order.cancelled', 'no', '2026', 1)`,
    );
    await rebuilt();
    expect(stored()).toEqual(before);
    sql.run("DELETE FROM notifications WHERE seq = ?", [before[0]?.seq ?? 0]);
    await rebuilt();
    const content = ({ seq: _, cursor: __, ...rest }: Notification) => rest;
    expect(stored().map(content)).toEqual([...before.slice(1), ...before.slice(0, 1)].map(content));
    // A number that a client may have read is not used again.
    expect(stored().at(-1)?.seq).toBeGreaterThan(before.at(-1)?.seq ?? 0);
  });
});
