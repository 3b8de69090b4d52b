import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { eventually } from "@distributed-messaging/messaging/testing";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";

/* Connections that take a server's time and memory and give it nothing to do. */

/** As many as the machine lets one process open, up to 10,000; the test itself needs some for other things. */
const CONNECTIONS = Math.min(10_000, openFiles() - 1_000);

/** How many files a process may open. */
function openFiles(): number {
  const limit = Bun.spawnSync(["/bin/sh", "-c", "ulimit -n"]).stdout.toString().trim();
  return limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
}

/** One connection; it is closed after its test. */
class Connection {
  received = "";
  closed = false;
  readonly #socket: Socket;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("data", (data) => {
      this.received += data.toString("latin1");
    });
    this.#socket.on("close", () => {
      this.closed = true;
    });
    // A server that closes while the test writes.
    this.#socket.on("error", () => {});
  }

  write(bytes: string): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.destroy();
  }
}

describeOwn("a service", () => {
  const store = useOwnStore();
  let connections: Connection[] = [];
  afterEach(() => {
    for (const connection of connections) connection.end();
    connections = [];
  });

  function open(name: "api-gateway" | "notification"): Connection {
    const connection = new Connection(store.url(name));
    connections.push(connection);
    return connection;
  }

  async function expectService(customerId: string): Promise<void> {
    const customer = await store.signIn(customerId);
    const listener = customer.listen();
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
    await customer.until(orderId, "confirmed");
    await listener.until(2);
    await listener.terminate();
  }

  // A machine that lets a process open fewer files than a test needs anyway shows nothing.
  test.skipIf(!runsSlowTests || CONNECTIONS <= 0)(
    `with ${CONNECTIONS} idle connections takes orders and pushes notifications`,
    async () => {
      await store.seed();
      for (const name of ["api-gateway", "notification"] as const) {
        const from = connections.length;
        for (let count = CONNECTIONS / 2; count > 0; count -= 250) {
          const batch = Array.from({ length: Math.min(250, count) }, () => open(name));
          for (const each of batch) each.write("GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n");
          await eventually(() => batch.every(({ received }) => received.includes("UP")), "250 answers");
        }
        expect(connections.length - from).toBeGreaterThanOrEqual(CONNECTIONS / 2);
      }
      await expectService("CUSTOMER_idle");
      expect(connections.filter(({ closed }) => closed)).toHaveLength(0);
    },
    120_000,
  );

  const slow: Readonly<Record<string, readonly [head: string, byte: string]>> = {
    headers: ["GET /products HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "a"],
    bodies: [
      "POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
      " ",
    ],
  };

  test.each(Object.entries(slow))(
    "with a thousand slow %s takes orders and pushes notifications",
    async (_what, [head, byte]) => {
      await store.seed();
      const clients = Array.from({ length: 1_000 }, () => open("api-gateway"));
      for (const client of clients) client.write(head);
      const drip = setInterval(() => {
        for (const client of clients) client.write(byte);
      }, 250);
      try {
        await expectService("CUSTOMER_slow");
      } finally {
        clearInterval(drip);
      }
    },
    120_000,
  );

  test.skipIf(process.env.SLOW_TESTS !== "true").each(Object.entries(slow))(
    "closes the connection of a client that goes on sending slow %s",
    async (_what, [head, byte]) => {
      const client = open("api-gateway");
      client.write(head);
      const drip = setInterval(() => client.write(byte), 250);
      try {
        await eventually(() => client.closed, "the connection to be closed", 110_000);
      } finally {
        clearInterval(drip);
      }
    },
    120_000,
  );
});
