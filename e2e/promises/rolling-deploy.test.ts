import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import {
  forEachService,
  replicableServices,
  type ServiceName,
  serviceNames,
} from "@distributed-messaging/services/registry";
import { metricIn } from "@distributed-messaging/supervisor/services";
import type { Instance, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import type { Notification, Status } from "../support/answers.ts";
import { untilEqual } from "../support/copies.ts";
import { Customer } from "../support/customer.ts";
import { LoadBalancer } from "../support/load-balancer.ts";
import { makeNewerVersion, makeVersionWithStep } from "../support/newer-version.ts";
import { describeOwn, type OwnStore, useOwnStore } from "../support/own-store.ts";

const LIMIT_MS = 480_000;
const PAPER = "PRODUCT_006";
/** There is none. */
const CALENDAR = "PRODUCT_012";
/** How many orders are placed while two versions run side by side. */
const SIDE_BY_SIDE = 20;
/** More than is ordered meanwhile. */
const RESTOCKED = 10;
/** Between two requests of a client. */
const PAUSE_MS = 50;
/** What the newer version changes is read by these, and written by this one. */
const WRITER: ServiceName = "order";
const readers = serviceNames.filter((name) => name !== WRITER);

/** The newer version is a copy of what is in version control. */
const describeSlow = process.env.SLOW_TESTS === "true" ? describeOwn : describe.skip;

describeSlow("a rolling deploy of two instances of each service", () => {
  const env = { DRAIN: "500ms" };
  const store = useOwnStore({ replicas: 2, env });
  const older = store.supervisor;
  const folder = mkdtempSync(join(tmpdir(), "rolling-deploy-"));
  let newer: StoreSupervisor;

  beforeAll(async () => {
    const root = join(folder, "newer");
    makeNewerVersion(root);
    newer = await versionAt(root, store, env);
  }, LIMIT_MS);
  afterAll(async () => {
    await newer.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  const versions = () => [older, newer];
  const instancesOf = (name: ServiceName) =>
    versions().flatMap((version) =>
      version.instances
        .filter(({ service }) => service === name)
        .map((instance) => ({ version, instance, process: version.process(instance.name) })),
    );
  const isReplicated = (name: ServiceName) => replicableServices.includes(name);

  /** The version whose instance leads, and the name of that. */
  function leaderOf(name: ServiceName): Promise<{ version: StoreSupervisor; instance: Instance }> {
    return eventually(async () => {
      for (const { version, instance, process } of instancesOf(name))
        if (process.state === "ready" && (await leads(instance))) return { version, instance };
      return undefined;
    }, `an instance of ${name} to lead`);
  }

  /** Waits until every instance of the readers has read what the topics have by now. */
  async function untilRead(): Promise<void> {
    for (const { group, file } of older.instances.filter(({ service }) => service !== WRITER)) {
      for (const topic of await store.records.readBy(group)) {
        const ends = await store.records.ends(topic);
        await eventually(() => isReadUpTo(file, ends), `${file} to have read ${topic}`);
      }
    }
  }

  /** Stops an instance, and starts it as another version. */
  async function replace(instance: string, from: StoreSupervisor, to: StoreSupervisor): Promise<void> {
    await from.process(instance).stop();
    await to.process(instance).start();
  }

  test(
    "refused orders during a rolling deploy: 0",
    async () => {
      await store.seed();
      using traffic = new Traffic(
        (name) => instancesOf(name).map(({ instance: { url } }) => url),
        await store.signIn("ADMIN_rolling", "admin"),
        await store.signIn("CUSTOMER_rolling"),
      );
      traffic.start();

      /** Replaces all instances of a service, one at a time; both versions work for a while in between. */
      async function roll(
        name: ServiceName,
        from: StoreSupervisor,
        to: StoreSupervisor,
        leaderIs: "first" | "last",
      ): Promise<void> {
        const names = from.instances.filter(({ service }) => service === name).map(({ name }) => name);
        if (isReplicated(name)) {
          const leader = (await leaderOf(name)).instance.name;
          names.sort((one) => ((one === leader) === (leaderIs === "first") ? -1 : 1));
        }
        for (const instance of names) {
          await replace(instance, from, to);
          if (instance === names.at(-1)) continue;
          await traffic.more(SIDE_BY_SIDE);
          // The follower takes over, whichever version it is, and the new one follows.
          if (isReplicated(name)) expect((await leaderOf(name)).version === from).toBe(true);
        }
        if (isReplicated(name)) expect((await leaderOf(name)).version === to).toBe(true);
      }

      // Who reads what is new comes first, and goes last.
      for (const name of [...readers, WRITER]) await roll(name, older, newer, "last");
      await traffic.more(SIDE_BY_SIDE);
      await roll(WRITER, newer, older, "first");
      await traffic.untilConfirmed();
      await untilRead();
      for (const name of readers) await roll(name, newer, older, "first");
      await traffic.more(SIDE_BY_SIDE);
      await traffic.stop();
      expect(traffic.refused).toEqual([]);

      const notification = store.url("notification");
      const gateway = store.url("api-gateway");
      const customer = await Customer.signIn({ gateway, notification }, "CUSTOMER_rolling");
      for (const orderId of traffic.confirmed) await customer.until(orderId, "confirmed");
      for (const orderId of traffic.cancelled) await customer.until(orderId, "cancelled");
      const expected = [
        ...traffic.confirmed.flatMap((id) => [`${id} order.received`, `${id} order.confirmed`]),
        ...traffic.cancelled.flatMap((id) => [
          `${id} order.received`,
          `${id} order.waiting`,
          `${id} order.cancelled`,
        ]),
      ];
      const isTold = (notifications: readonly Notification[]) => {
        const listed = notifications.map(({ orderId, type }) => `${orderId} ${type}`);
        expect(listed.toSorted()).toEqual(expected.toSorted());
        return true;
      };
      await eventually(async () => {
        await traffic.readNotifications();
        return isTold(traffic.told);
      }, "each notification over all instances, once");
      for (const { url } of older.instances.filter(({ service }) => service === "notification")) {
        const told = await Customer.signIn({ gateway, notification: url }, "CUSTOMER_rolling");
        await eventually(
          async () => isTold(await told.notifications()),
          "each notification at every instance, once",
        );
      }
      expect(await store.stock(PAPER)).toMatchObject({
        onHand: 200 + traffic.restocked,
        reserved: traffic.confirmed.length,
      });
      for (const name of replicableServices)
        await untilEqual(older.instances.filter(({ service }) => service === name));
    },
    LIMIT_MS,
  );
});

describeSlow("a rolling deploy of a change that is not additive", () => {
  const store = useOwnStore({ replicas: 2 });
  const older = store.supervisor;
  const folder = mkdtempSync(join(tmpdir(), "rolling-deploy-"));
  let newer: StoreSupervisor;

  beforeAll(async () => {
    const root = join(folder, "newer");
    makeVersionWithStep(root, { name: "further", sql: "CREATE UNIQUE INDEX further ON orders (order_id)" });
    newer = await versionAt(root, store);
  }, LIMIT_MS);
  afterAll(async () => {
    await newer.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  test(
    "goes on with the newer version only, and a version back stops at its first instance",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_change");
      const place = async (orderId: string) => {
        await customer.place({ orderId, items: [{ productId: PAPER, quantity: 1 }] });
        await customer.until(orderId, "confirmed");
      };
      const isLeader = await Promise.all(
        older.instances.filter(({ service }) => service === WRITER).map(leads),
      );
      const [leader = "", follower = ""] = isLeader[0] ? [WRITER, `${WRITER}-2`] : [`${WRITER}-2`, WRITER];
      await older.process(follower).stop();
      await newer.process(follower).start();
      await older.process(leader).stop();
      // The newer version leads by now, and has changed the schema.
      older
        .process(leader)
        .start()
        .catch(() => {});
      const { url } = older.instances.find(({ name }) => name === leader) ?? {};
      await eventually(async () => {
        const answer = await fetch(`${url}/readiness`);
        expect([answer.status, await answer.json()]).toEqual([
          503,
          expect.objectContaining({
            problems: [
              {
                check: "replication",
                detail: expect.stringContaining('was applied as "further", this version has no such step'),
                remedy: "Replace this instance by that version, or by a later one.",
              },
            ],
          }),
        ]);
        return true;
      }, "the older version to say which one it needs");
      await place("beside");
      await older.process(leader).stop();
      await newer.process(leader).start();
      await place("after");
      await untilEqual(newer.instances.filter(({ service }) => service === WRITER));
    },
    LIMIT_MS,
  );
});

/** Another version of a store, none of whose processes runs, on its data and its broker. */
async function versionAt(
  root: string,
  store: OwnStore,
  env: Readonly<Record<string, string>> = {},
): Promise<StoreSupervisor> {
  const version: typeof import("@distributed-messaging/supervisor/store") = await import(
    join(root, "services/supervisor/store.ts")
  );
  const { dataDir, brokers, supervisor } = store;
  return new version.StoreSupervisor({
    ...{ dataDir, brokers, ports: supervisor.ports, replicas: 2 },
    env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", LOG_LEVEL: "warn", ...env },
  });
}

async function leads({ url }: Instance): Promise<boolean> {
  const text = await fetch(`${url}/metrics`, { keepalive: false }).then((answer) => answer.text());
  return metricIn(text, "replication_leads") === 1;
}

/** @param ends by `topic/partition` */
function isReadUpTo(file: string, ends: Readonly<Record<string, number>>): boolean {
  using database = new Database(file, { readonly: true });
  const rows = database
    .query<{ place: string; next: number }, []>(
      "SELECT topic || '/' || partition AS place, next_offset AS next FROM consumer_offsets",
    )
    .all();
  return rows.every(({ place, next }) => next >= (ends[place] ?? 0));
}

/** Requests to every service, through load balancers, without a pause. */
class Traffic implements Disposable {
  /** Ids of the orders that are to be confirmed and to be cancelled at the end. */
  readonly confirmed: string[] = [];
  readonly cancelled: string[] = [];
  /** What was not answered as it should be. */
  readonly refused: string[] = [];
  /** What clients of notifications were told, by whichever instance. */
  readonly told: Notification[] = [];
  restocked = 0;
  readonly #balancers: Readonly<Record<ServiceName, LoadBalancer>>;
  readonly #loops: Promise<void>[] = [];
  #isStopped = false;

  constructor(
    urls: (name: ServiceName) => readonly string[],
    private readonly admin: Customer,
    private readonly customer: Customer,
  ) {
    this.#balancers = forEachService((name) => new LoadBalancer(urls(name)));
  }

  start(): void {
    for (let client = 0; client < 4; client += 1) this.#loop((turn) => this.#place(`${client}-${turn}`));
    this.#loop((turn) => this.#placeAndCancel(`cancelled-${turn}`));
    this.#loop(() => this.#restock());
    this.#loop(() => this.readNotifications());
    this.#loop(async () => void (await this.#ask("inventory", `/stock/${PAPER}`, 200)));
    // Only the leader can do what an operator asks for.
    for (const name of replicableServices) this.#loop(() => this.#retryEffects(name));
  }

  /** Waits for further orders. */
  async more(count: number): Promise<void> {
    const wanted = this.confirmed.length + count;
    await eventually(() => this.#hasFailed() || this.confirmed.length >= wanted, `${count} further orders`);
  }

  /** Waits until an order that is placed now is confirmed. */
  async untilConfirmed(): Promise<void> {
    const orderId = `sentinel-${this.confirmed.length}`;
    const token = await this.#place(orderId);
    await this.#untilStatus(orderId, token, "confirmed");
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    for (const balancer of Object.values(this.#balancers)) balancer[Symbol.dispose]();
  }

  #hasFailed(): boolean {
    return this.refused.length > 0;
  }

  #loop(step: (turn: number) => Promise<unknown>): void {
    const run = async () => {
      for (let turn = 0; !this.#isStopped; turn += 1) {
        await step(turn).catch((error: unknown) => this.refused.push(String(error)));
        await Bun.sleep(PAUSE_MS);
      }
    };
    this.#loops.push(run());
  }

  async #place(orderId: string, productId = PAPER, ids = this.confirmed): Promise<string> {
    const order = { orderId, items: [{ productId, quantity: 1 }] };
    const { headers } = await this.#ask("api-gateway", "/orders", 202, this.customer, order);
    ids.push(orderId);
    return headers.get("consistency-token") ?? "";
  }

  /** What waits for stock until it is cancelled. */
  async #placeAndCancel(orderId: string): Promise<void> {
    const token = await this.#place(orderId, CALENDAR, this.cancelled);
    await this.#untilStatus(orderId, token, "backordered");
    const path = `/orders/${orderId}/cancel`;
    await this.#ask("api-gateway", path, 202, this.customer, {}, { "consistency-token": token });
  }

  /** At whichever gateway: one may know more than the next. */
  async #untilStatus(orderId: string, token: string, status: Status): Promise<void> {
    const headers = { "consistency-token": token };
    await eventually(async () => {
      const answer = await this.#ask(
        "api-gateway",
        `/orders/${orderId}`,
        200,
        this.customer,
        undefined,
        headers,
      );
      const { status: shown } = (await answer.json()) as { status: Status };
      if (shown !== status) throw new Error(`it is ${shown}`);
      return true;
    }, `${orderId} to be ${status}`);
  }

  async #restock(): Promise<void> {
    await this.#ask("api-gateway", `/products/${PAPER}/restock`, 202, this.admin, { quantity: RESTOCKED });
    this.restocked += RESTOCKED;
  }

  async #retryEffects(name: ServiceName): Promise<void> {
    await this.#ask(name, "/effects/dead/retry", 200, this.admin, { name: "none" });
  }

  /** Reads on after what was told last. */
  async readNotifications(): Promise<void> {
    const after = this.told.at(-1)?.cursor ?? "0";
    const answer = await this.#ask("notification", `/notifications?after=${after}`, 200, this.customer);
    this.told.push(...((await answer.json()) as Notification[]));
  }

  /** @throws when the answer has another status */
  async #ask(
    name: ServiceName,
    path: string,
    expected: number,
    { authorization }: Pick<Customer, "authorization"> = { authorization: {} },
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const post =
      body === undefined
        ? { headers: { ...authorization, ...headers } }
        : {
            method: "POST",
            body: JSON.stringify(body),
            headers: { "content-type": "application/json", ...authorization, ...headers },
          };
    const answer = await this.#balancers[name].request(path, post).catch((error: unknown) => {
      throw new Error(`${name} ${path}: ${error}`);
    });
    if (answer.status === expected) return answer;
    throw new Error(`${name} ${path}: ${answer.status} ${await answer.text()}`);
  }
}
