import { expect, test } from "bun:test";
import { orderIdOf } from "@distributed-messaging/contracts";
import { forEachService, serviceNames, storeTopics } from "@distributed-messaging/services/registry";
import { demoOrders } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { stateOf, untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

describeOwn("every record is published again, byte for byte", () => {
  const store = useOwnStore();

  test(
    "twice, the second time in reverse: stock, orders and notifications do not change",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_001");
      await customer.place(demoOrders.ORDER_001);
      await customer.place(demoOrders.ORDER_002);
      await customer.place({ orderId: "ORDER_WAITS", items: [{ productId: "PRODUCT_012", quantity: 1 }] });
      await customer.until("ORDER_001", "confirmed");
      await customer.until("ORDER_002", "confirmed");
      await customer.until("ORDER_WAITS", "backordered");
      await untilIdle(store);
      const before = await stateOf(store, [customer]);
      const emitted = serviceNames.map((name) => store.emitted(name));
      expect(before.notifications.flat()).toHaveLength(6);

      const topics = await Promise.all(storeTopics.map(({ name }) => store.records.read(name)));
      const records = topics.flat();
      const ofOne = records.filter(({ key }) => String(key) === orderIdOf("CUSTOMER_001", "ORDER_001"));
      expect(ofOne, "PlaceOrder, OrderPlaced, StockReserved, OrderConfirmed").toHaveLength(4);
      await store.records.write(records);
      await store.records.write(records.toReversed());
      await untilIdle(store);

      expect(await stateOf(store, [customer])).toEqual(before);
      expect(before.deadLetters).toEqual(forEachService(() => 0));
      expect(
        serviceNames.map((name) => store.emitted(name)),
        "messages emitted",
      ).toEqual(emitted);
      const copies = await Promise.all(storeTopics.map(({ name }) => store.records.read(name)));
      // An owner repeats its claim when it has more to say.
      const isMessage = ({ topic }: { readonly topic: string }) => !topic.endsWith(".owner");
      expect(copies.flat().filter(isMessage), "the copies were published").toHaveLength(
        3 * records.filter(isMessage).length,
      );
    },
    LIMIT_MS,
  );
});
