import { orderIdOf } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames, storeTopics } from "@distributed-messaging/services/registry";
import { serveSupervisor } from "@distributed-messaging/supervisor/http";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { fake } from "@distributed-messaging/supervisor/testing";
import { Prng } from "../../simulation/prng.ts";
import { type Answer, request } from "../../support/answers.ts";
import type { OwnStore } from "../../support/own-store.ts";
import { faultOf } from "./check.ts";
import { type Operation, operationsOf } from "./document.ts";
import { type Credentials, familyOf, type GeneratedRequest, requestFor } from "./requests.ts";
import { KnownValues } from "./values.ts";

/** What the operations of a store answered to generated requests. */
export interface CampaignReport {
  readonly requests: number;
  /** How often each operation answered with each status, by its name. */
  readonly statuses: ReadonlyMap<string, ReadonlyMap<number, number>>;
  /** What was wrong, with the request. */
  readonly faults: readonly string[];
}

const WORKERS = 12;
const MAX_FAULTS = 20;
const CUSTOMERS = 2;

/**
 * Operations that take long, or take the others their data, and how often they are left out. Delivering an order's records
 * again doubles them each time.
 */
const RARE: Readonly<Record<string, number>> = {
  "inventory DELETE /automation-testing/all": 0.98,
  "api-gateway POST /rebuild": 0.9,
  "notification POST /rebuild": 0.9,
  "api-gateway POST /signing-keys/rotate": 0.98,
  "supervisor POST /processes/{name}/{action}": 0.9,
  "supervisor POST /orders/{orderId}/deliver-again": 0.97,
};

/** Its answer lasts until its client disconnects. */
const ENDLESS = "supervisor POST /lease";

/**
 * Sends generated requests to every operation, except ENDLESS, that the OpenAPI documents of the services and of a supervisor describe, and
 * compares the answers with the documents.
 *
 * @param store with test routes and demo sign-in
 * @param seed selects the requests; the values that they take from earlier answers depend on the run
 */
export async function runRequests(store: OwnStore, count: number, seed: string): Promise<CampaignReport> {
  // A supervisor of processes of its own: the store goes on.
  const supervisor = new Supervisor([{ processes: [fake("alpha"), fake("beta")] }], {
    timings: { backoffMs: 1 },
  });
  await supervisor.startAll();
  const [port = 0] = freePorts(1);
  const listening = await serveSupervisor({
    supervisor,
    urlOf: (name) => store.url(name),
    kafka: { brokers: [store.brokers], clientId: "fuzz" },
    port,
    pagePort: port,
  });
  try {
    const urls = [
      ...serviceNames.map((name) => [name, store.url(name)] as const),
      ["supervisor", listening.url] as const,
    ];
    const described = (await Promise.all(urls.map(([name, url]) => operationsOf(name, url)))).flat();
    const operations = described.filter(({ name }) => name !== ENDLESS);
    return await send(operations, await prepare(store, listening.url), count, new Prng(seed));
  } finally {
    await listening.stop(0);
    await supervisor.stopAll();
  }
}

interface Prepared {
  readonly credentials: Credentials;
  readonly known: KnownValues;
}

/** Gives the store products, orders, notifications and dead letters. */
async function prepare(store: OwnStore, supervisorUrl: string): Promise<Prepared> {
  const known = new KnownValues();
  const products = await store.seed();
  known.learn(products, "products");
  const customers = await Promise.all(
    Array.from({ length: CUSTOMERS }, (_, index) => store.signIn(`CUSTOMER_fuzz${index}`)),
  );
  for (const customer of customers) {
    const order = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
    known.learn(order, "orders");
    // Of the supervisor, which finds the records of an order by its id.
    known.learn({ orderId: orderIdOf(customer.id, order.orderId) }, "orders");
  }
  for (const name of ["alpha", "beta", "gamma"]) known.add("processes name", name);
  for (const { name } of storeTopics) known.add("topics topic", name);
  const admin = await store.signIn("ADMIN_fuzz", "admin");
  for (const orderId of ["BROKEN_1", "BROKEN_2", "BROKEN_3"]) {
    await request(`${supervisorUrl}/orders/${orderId}/broken-message`, { method: "POST" });
  }
  const { authorization: headers } = admin;
  const letters = await eventually(async () => {
    const { body } = await store.request("order", "/dead-letters", { headers });
    return Array.isArray(body) && body.length >= 3 && body;
  }, "the order service to park the broken messages");
  known.learn(letters, "dead-letters");
  return {
    known,
    credentials: {
      admin: headers.authorization ?? "",
      customers: customers.map(({ authorization }) => authorization.authorization ?? ""),
    },
  };
}

async function send(
  operations: readonly Operation[],
  { credentials, known }: Prepared,
  count: number,
  prng: Prng,
): Promise<CampaignReport> {
  const statuses = new Map(operations.map(({ name }) => [name, new Map<number, number>()]));
  const faults: string[] = [];
  let left = count;
  // Each operation at least once.
  const first = [...operations];
  const worker = async () => {
    while (left > 0 && faults.length < MAX_FAULTS) {
      const chosen = prng.fork(String(count - left));
      left--;
      const operation = first.pop() ?? pick(operations, chosen);
      const generated = requestFor(operation, chosen, known, credentials);
      const answer = await ask(operation, generated);
      const fault = typeof answer === "string" ? answer : faultOf(operation, generated, answer);
      if (fault !== undefined)
        faults.push(`${operation.name}: ${fault}\n${Bun.inspect({ generated, answer })}`);
      if (typeof answer === "string") continue;
      const counts = statuses.get(operation.name);
      counts?.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
      const family = familyOf(operation.path);
      // A withdrawn key would end every token of this campaign.
      if (answer.status < 400 && family !== "signing-keys") known.learn(answer.body, family);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  return { requests: count - left, statuses, faults };
}

function pick(operations: readonly Operation[], prng: Prng): Operation {
  for (;;) {
    const operation = prng.pick(operations);
    if (!prng.chance(RARE[operation.name] ?? 0)) return operation;
  }
}

/** The answer, or why there is none. */
async function ask(operation: Operation, generated: GeneratedRequest): Promise<Answer | string> {
  try {
    return await attempt(operation, generated, true);
  } catch {
    // The server may just have closed a connection that was idle, or one whose body it refused to read.
    return attempt(operation, generated, false).catch((error: unknown) => `no answer: ${error}`);
  }
}

function attempt(operation: Operation, generated: GeneratedRequest, keepalive: boolean): Promise<Answer> {
  const { method, path, headers, body } = generated;
  const init = { method, headers, keepalive, ...(body === undefined ? {} : { body }) };
  return request(`${operation.url}${path}`, init);
}
