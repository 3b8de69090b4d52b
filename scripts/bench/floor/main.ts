import { Elysia, t } from "elysia";
import { type FloorLine, type FloorMessage, FloorNode } from "./node.ts";

/*
 * The floor: the store's path of an order with the same libraries, topics, files and hops, and nothing else. No
 * validation beyond the request's shape, no accounts, history, catalogue, retries or metrics. What the store costs more
 * than this is the price of its promises.
 *
 * FLOOR_SERVICE is the service, PORT where it listens, DATA_DIR and KAFKA_BROKERS are as for the store.
 */

const PRODUCTS = Array.from({ length: 12 }, (_, index) => ({ productId: `P${index}`, available: 1e9 }));
const PLACE = "PlaceOrder";
const PLACED = "OrderPlaced";
const RESERVED = "StockReserved";
const CONFIRMED = "OrderConfirmed";

const setting = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
const name = setting("FLOOR_SERVICE");
const node = new FloorNode(name, setting("DATA_DIR"), setting("KAFKA_BROKERS"));
const { database } = node;
const listening = { hostname: "127.0.0.1", port: Number(setting("PORT")) };

const Order = t.Object({
  orderId: t.String(),
  items: t.Array(t.Object({ productId: t.String(), quantity: t.Integer({ minimum: 1 }) })),
});

async function gateway(): Promise<void> {
  database.run("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT) WITHOUT ROWID");
  const accept = database.prepare<null, [string]>(
    "INSERT INTO orders VALUES (?, 'accepted') ON CONFLICT DO NOTHING",
  );
  const change = database.prepare<null, [string, string]>("UPDATE orders SET status = ? WHERE id = ?");
  await node.consume(["order.events"], ({ type, data }) => change.run(type, data.orderId));
  new Elysia()
    .get("/readiness", () => ({}))
    .get("/products", () => PRODUCTS)
    .post("/products/:productId/restock", ({ set }) => {
      set.status = 202;
      return {};
    })
    .post(
      "/sessions",
      ({ body: { customerId }, set }) => {
        set.status = 201;
        return { token: customerId };
      },
      { body: t.Object({ customerId: t.String(), role: t.Optional(t.String()) }) },
    )
    .post(
      "/orders",
      async ({ body, headers, set }) => {
        const customerId = (headers.authorization ?? "").slice("Bearer ".length);
        await node.write(() => {
          accept.run(body.orderId);
          node.emit("order.commands", PLACE, { ...body, customerId });
        });
        set.status = 202;
        return { orderId: body.orderId };
      },
      { body: Order },
    )
    .listen(listening);
}

async function order(): Promise<void> {
  database.run(
    "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT, data TEXT) WITHOUT ROWID",
  );
  const insert = database.prepare<null, [string, string]>(
    "INSERT INTO orders VALUES (?, 'pending', ?) ON CONFLICT DO NOTHING",
  );
  const confirm = database.prepare<{ data: string }, [string]>(
    "UPDATE orders SET status = 'confirmed' WHERE id = ? RETURNING data",
  );
  await node.consume(["order.commands", "inventory.events"], ({ type, data }) => {
    if (type === PLACE) {
      insert.run(data.orderId, JSON.stringify(data));
      node.emit("order.events", PLACED, data);
    } else {
      const placed: FloorMessage["data"] = JSON.parse(confirm.get(data.orderId)?.data ?? "{}");
      node.emit("order.events", CONFIRMED, { ...placed, items: [] });
    }
  });
  serveReadiness();
}

async function inventory(): Promise<void> {
  database.run("CREATE TABLE IF NOT EXISTS stock (id TEXT PRIMARY KEY, available INTEGER) WITHOUT ROWID");
  database.run("CREATE TABLE IF NOT EXISTS reservations (id TEXT PRIMARY KEY, items TEXT) WITHOUT ROWID");
  const add = database.prepare<null, [string, number]>(
    "INSERT INTO stock VALUES (?, ?) ON CONFLICT DO NOTHING",
  );
  for (const { productId, available } of PRODUCTS) add.run(productId, available);
  const take = database.prepare<null, [number, string]>(
    "UPDATE stock SET available = available - ? WHERE id = ?",
  );
  const reserve = database.prepare<null, [string, string]>("INSERT INTO reservations VALUES (?, ?)");
  await node.consume(["order.events"], ({ type, data }) => {
    if (type !== PLACED) return;
    for (const { productId, quantity } of data.items as readonly FloorLine[]) take.run(quantity, productId);
    reserve.run(data.orderId, JSON.stringify(data.items));
    node.emit("inventory.events", RESERVED, { ...data, items: [] });
  });
  serveReadiness();
}

async function notification(): Promise<void> {
  database.run(
    "CREATE TABLE IF NOT EXISTS notifications (seq INTEGER PRIMARY KEY, customer TEXT, notification TEXT)",
  );
  const insert = database.prepare<null, [string, string]>(
    "INSERT INTO notifications (customer, notification) VALUES (?, ?)",
  );
  const server = Bun.serve<string>({
    ...listening,
    fetch(request, self) {
      const url = new URL(request.url);
      if (url.pathname === "/readiness") return Response.json({});
      const data = url.searchParams.get("token") ?? "";
      return self.upgrade(request, { data }) ? undefined : new Response(null, { status: 426 });
    },
    websocket: { open: (socket) => void socket.subscribe(socket.data), message() {} },
  });
  const types: Readonly<Record<string, string>> = {
    [PLACED]: "order.received",
    [CONFIRMED]: "order.confirmed",
  };
  await node.consume(["order.events"], ({ type, time, data: { orderId, customerId } }) => {
    const text = JSON.stringify({ orderId, type: types[type], at: time });
    insert.run(customerId, text);
    node.afterCommit(() => void server.publish(customerId, text));
  });
}

function serveReadiness(): void {
  Bun.serve({ ...listening, fetch: () => Response.json({}) });
}

const services: Readonly<Record<string, () => Promise<void>>> = {
  "api-gateway": gateway,
  ...{ order, inventory, notification },
};
const start = services[name];
if (start === undefined) throw new Error(`FLOOR_SERVICE: there is no service ${name}`);
try {
  await node.connect();
  await start();
} catch (error) {
  // The benchmark shows the last line.
  process.stderr.write(`${name}: ${error}\n`);
  process.exit(1);
}
