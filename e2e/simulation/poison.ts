import { allMessages, PlaceOrder } from "@distributed-messaging/contracts";
import type { OutgoingRecord } from "@distributed-messaging/messaging";
import type { BrokerLog } from "./broker-log.ts";
import type { Prng } from "./prng.ts";

/** Records that no service of the store would emit. Each says in its headers that it was put there. */
export const POISON_HEADER = "simulated-poison";

const poisonable = [...new Set(allMessages.map(({ topic }) => topic))];

/** A record that cannot be handled, in one of many ways: with a key of its own, a real one, or none. */
export function drawPoison(prng: Prng, number: number, log: BrokerLog): OutgoingRecord {
  const topic = prng.pick(poisonable).name;
  const real = log.partitionsOf(topic).flatMap(({ records }) => records.slice(-3).map(({ key }) => key));
  const choice = prng.float();
  const key = choice < 0.15 ? null : choice < 0.6 && real.length > 0 ? prng.pick(real) : `POISON_${number}`;
  return {
    topic,
    key,
    value: drawValue(prng, topic, key ?? `POISON_${number}`, number),
    headers: { [POISON_HEADER]: String(number) },
  };
}

function drawValue(prng: Prng, topic: string, subject: string, number: number): Uint8Array | string | null {
  const definition = prng.pick(allMessages.filter((candidate) => candidate.topic.name === topic));
  const id = `00000000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
  const envelope = {
    specversion: "1.0",
    id,
    source: "nobody",
    type: definition.type,
    subject,
    time: "2026-01-01T00:00:00Z",
    datacontenttype: "application/json",
    correlationid: id,
    causationid: id,
    data: { nothing: "of use" },
  };
  const price = { amount: 1, currency: "EUR" };
  // Valid to look at, and refused by all who take it: the total is wrong.
  const refused: Readonly<Record<string, object>> = {
    "order.commands": {
      ...envelope,
      type: PlaceOrder.type,
      data: {
        orderId: subject,
        customerId: "NOBODY",
        items: [{ productId: "PRODUCT_1", quantity: 1, unitPrice: price }],
        total: { ...price, amount: 2 },
      },
    },
  };
  return prng.pick([
    () => null,
    () => "",
    () => "{",
    () => new Uint8Array([0xff, 0xfe, 0x00, number & 0xff]),
    () => JSON.stringify({ hello: "world" }),
    () => JSON.stringify(envelope),
    () => JSON.stringify({ ...envelope, id: "not an id" }),
    () => JSON.stringify({ ...envelope, specversion: "0.3" }),
    () => JSON.stringify({ ...envelope, type: "store.nothing.known.v1" }),
    () => JSON.stringify(refused[topic] ?? envelope),
  ])();
}
