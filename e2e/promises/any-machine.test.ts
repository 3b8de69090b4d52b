import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { metricIn } from "@distributed-messaging/supervisor/services";
import type { Instance } from "@distributed-messaging/supervisor/store";
import type { Notification } from "../support/answers.ts";
import { untilEqual } from "../support/copies.ts";
import { Customer } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { second } from "../support/second-process.ts";

const LIMIT_MS = 240_000;
const CUP = "PRODUCT_001";
const PAPER = "PRODUCT_006";

describeOwn("two instances of each service", () => {
  const store = useOwnStore({ replicas: 2, env: { SNAPSHOT_EVERY: "20" } });
  const instancesOf = (name: "order" | "inventory") =>
    store.supervisor.instances.filter(({ service }) => service === name);

  async function metricOf({ url }: Instance, name: string): Promise<number | null> {
    const text = await fetch(`${url}/metrics`).then((answer) => answer.text());
    return metricIn(text, name);
  }

  const epochOf = async (instance: Instance) => (await metricOf(instance, "replication_epoch")) ?? 0;

  /** The instance that leads, and the other. */
  function roles(name: "order" | "inventory"): Promise<{ leader: Instance; follower: Instance }> {
    return eventually(async () => {
      const [one, other] = instancesOf(name);
      if (one === undefined || other === undefined) throw new Error(`${name} has two instances`);
      const [first, second] = await Promise.all(
        [one, other].map((each) => metricOf(each, "replication_leads")),
      );
      expect([first, second].toSorted()).toEqual([0, 1]);
      return first === 1 ? { leader: one, follower: other } : { leader: other, follower: one };
    }, `one instance of ${name} to lead`);
  }

  test(
    "any instance answers: a follower has its leader do it",
    async () => {
      await store.seed();
      const { leader, follower } = await roles("inventory");
      for (const { url } of [leader, follower]) {
        const answer = await fetch(`${url}/stock/${CUP}`);
        expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ onHand: 10 })]);
        expect((await fetch(`${url}/stock/NOTHING`)).status).toBe(404);
        expect((await fetch(`${url}/readiness`)).status).toBe(200);
      }
      const { authorization: headers } = await store.signIn("ADMIN_any", "admin");
      const asked = await Promise.all(
        [leader, follower].map(({ url }) => fetch(`${url}/dead-letters`, { headers })),
      );
      expect(asked.map(({ status }) => status)).toEqual([200, 200]);
      const refused = await fetch(`${follower.url}/automation-testing/all`, { method: "DELETE" });
      expect(refused.status).toBe(401);
    },
    LIMIT_MS,
  );

  test(
    "any machine is lost, its disk included: every order ends, nobody is told twice, all copies are the same",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_machines");
      const orderIds: string[] = [];
      const place = async (count: number) => {
        for (let number = 0; number < count; number += 1) {
          const orderId = `lost-${orderIds.length}`;
          await customer.placeWithRetries({ orderId, items: [{ productId: PAPER, quantity: 1 }] });
          orderIds.push(orderId);
        }
      };
      for (const name of ["order", "inventory", "order", "inventory"] as const) {
        const { leader } = await roles(name);
        const epoch = await epochOf(leader);
        await place(5);
        const lost = store.supervisor.process(leader.name).destroy();
        // While nobody leads.
        await place(5);
        await lost;
        // The other one, or that one, built anew from the change log.
        await eventually(
          async () => (await epochOf((await roles(name)).leader)) > epoch,
          `${name} to have a leader`,
        );
        await place(5);
        for (const orderId of orderIds) await customer.until(orderId, "confirmed");
        await eventually(
          () => store.supervisor.process(leader.name).state === "ready",
          `${leader.name} to be back`,
        );
      }
      expect(await store.stock(PAPER)).toMatchObject({ onHand: 200, reserved: orderIds.length });
      for (const orderId of orderIds) {
        await eventually(
          async () => (await customer.notificationTypes(orderId)).join() === "order.received,order.confirmed",
          `each notification of ${orderId}, once`,
        );
      }
      for (const name of ["order", "inventory"] as const) await untilEqual(instancesOf(name));
    },
    LIMIT_MS,
  );

  test(
    "an instance whose disk is lost begins with a snapshot and the rest of the change log",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_snapshots");
      const place = async (orderId: string) => {
        await customer.placeWithRetries({ orderId, items: [{ productId: PAPER, quantity: 1 }] });
        await customer.until(orderId, "confirmed");
      };
      for (let number = 0; number < 20; number += 1) await place(`before-${number}`);
      for (const name of ["order", "inventory"] as const) {
        const isMade = () =>
          readdirSync(join(store.dataDir, "snapshots")).some((file) => file.startsWith(`${name}_`));
        await eventually(isMade, `a snapshot of ${name}`);
        const { follower } = await roles(name);
        const restored = () =>
          store.log(follower.name).filter((line) => line.includes("begins with a snapshot")).length;
        const before = restored();
        await store.supervisor.process(follower.name).destroy();
        await eventually(() => restored() > before, `${follower.name} to begin with a snapshot`);
        await eventually(
          () => store.supervisor.process(follower.name).state === "ready",
          `${follower.name} to be back`,
        );
      }
      await place("after");
      for (const name of ["order", "inventory"] as const) await untilEqual(instancesOf(name));
    },
    LIMIT_MS,
  );

  test(
    "a gateway and a notification service are lost, their disks included: nothing that the broker had is, and each customer is told once",
    async () => {
      await store.seed();
      const all = (name: ServiceName) => store.supervisor.instances.filter(({ service }) => service === name);
      const addresses = all("api-gateway").flatMap(({ url: gateway }) =>
        all("notification").map(({ url: notification }) => ({ gateway, notification })),
      );
      // One customer, at each pair of instances; a token of one gateway is valid at all.
      const customers = await Promise.all(addresses.map((at) => Customer.signIn(at, "CUSTOMER_instances")));
      const at = (index: number) => customers[index % customers.length] as Customer;
      const orderIds: string[] = [];
      const told: Notification[] = [];
      const place = async (count: number) => {
        for (let number = 0; number < count; number += 1) {
          const orderId = `instance-${orderIds.length}`;
          await at(orderIds.length).placeWithRetries({ orderId, items: [{ productId: PAPER, quantity: 1 }] });
          orderIds.push(orderId);
        }
      };
      /** Reads on at another instance than before. */
      const readOn = async (index: number) => told.push(...(await at(index).resume(told.at(-1)?.cursor)));
      const untilConfirmedAtAll = async () => {
        for (const customer of customers)
          for (const orderId of orderIds) await customer.until(orderId, "confirmed");
      };
      await place(8);
      await untilConfirmedAtAll();
      for (const [round, victim] of [
        "api-gateway",
        "notification",
        "api-gateway-2",
        "notification-2",
      ].entries()) {
        await readOn(round);
        const known = orderIds.length;
        const { url } = store.supervisor.instances.find(({ name }) => name === victim) ?? {};
        const atVictim = customers[addresses.findIndex(({ gateway }) => gateway === url)];
        // The broker has what it accepts: it is lost with the machine no more.
        if (atVictim !== undefined) {
          const orderId = `instance-${orderIds.length}`;
          const order = { orderId, items: [{ productId: PAPER, quantity: 1 }] };
          const answer = await atVictim.tryToPlace(order);
          expect([answer.status, answer.headers.get("durability")]).toEqual([202, "replicated"]);
          orderIds.push(orderId);
        }
        await store.supervisor.process(victim).destroy();
        await place(4);
        await eventually(() => store.supervisor.process(victim).state === "ready", `${victim} to be back`);
        // Ready, it shows what the broker had: a load balancer sends requests there.
        if (atVictim !== undefined) {
          const shown = (await atVictim.allOrders()).map(({ orderId }) => orderId);
          expect(shown).toEqual(expect.arrayContaining(orderIds.slice(0, known)));
        }
        await untilConfirmedAtAll();
      }
      const expected = orderIds.flatMap((orderId) => [
        `${orderId} order.received`,
        `${orderId} order.confirmed`,
      ]);
      for (const customer of customers) {
        await eventually(async () => {
          const listed = (await customer.notifications()).map(({ orderId, type }) => `${orderId} ${type}`);
          expect(listed.toSorted()).toEqual(expected.toSorted());
          return true;
        }, "each notification at every instance, once");
      }
      for (let index = 0; index < customers.length; index += 1) await readOn(index);
      const heard = told.map(({ orderId, type }) => `${orderId} ${type}`);
      expect(heard.toSorted()).toEqual(expected.toSorted());
      const views = await Promise.all(
        customers.map(async (customer) =>
          (await customer.allOrders())
            .map(({ orderId, status, items, total }) => ({ orderId, status, items, total }))
            .toSorted((one, other) => (one.orderId < other.orderId ? -1 : 1)),
        ),
      );
      for (const view of views) expect(view).toEqual(views[0] ?? []);
    },
    LIMIT_MS,
  );

  test(
    "a process without replication is refused: on the database of an instance, and on an empty one",
    async () => {
      await using empty = await second(store, "order", join(store.dataDir, "empty"));
      await empty.says("several instances and a change log");
      const copied = join(store.dataDir, "copied");
      mkdirSync(copied, { mode: 0o700 });
      const [{ file } = { file: "" }] = instancesOf("order");
      for (const end of ["", "-wal"]) cpSync(file + end, join(copied, `order.sqlite${end}`));
      await using copy = await second(store, "order", copied);
      expect(await copy.ended()).toEqual({
        exitCode: 1,
        stderr: expect.stringContaining("set REPLICATION=on"),
      });
      const customer = await store.signIn("CUSTOMER_undisturbed");
      const { orderId } = await customer.place({ items: [{ productId: PAPER, quantity: 1 }] });
      await customer.until(orderId, "confirmed");
    },
    LIMIT_MS,
  );
});
