import { allMessages, PlaceOrder } from "@distributed-messaging/contracts";
import type { IncomingRecord, OutgoingRecord } from "@distributed-messaging/messaging";
import type { Prng } from "./prng.ts";

/** Marks records that no service has emitted. */
export const POISON_HEADER = "simulated-poison";

const FORGED_CHANCE = 0.3;

export const poisonTopics = [...new Set(allMessages.map(({ topic }) => topic.name))];

/**
 * A record that cannot be handled, for one of many reasons: with a key of its own, a key of a genuine record, or none.
 *
 * @param genuine records of the topic
 */
export function drawPoison(
  prng: Prng,
  number: number,
  topic: string,
  genuine: readonly IncomingRecord[],
): OutgoingRecord {
  if (genuine.length > 0 && prng.chance(FORGED_CHANCE)) return drawForged(prng, number, prng.pick(genuine));
  const choice = prng.float();
  const ownKey = `POISON_${number}`;
  const key = choice < 0.15 ? null : choice < 0.6 && genuine.length > 0 ? prng.pick(genuine).key : ownKey;
  const value = drawValue(prng, topic, key ?? ownKey, number);
  return { topic, key, value, headers: { [POISON_HEADER]: String(number) } };
}

/** A genuine record with a new id, which is on another topic, from another source or under another key. */
function drawForged(prng: Prng, number: number, { topic, key, value }: IncomingRecord): OutgoingRecord {
  const envelope = JSON.parse(Buffer.from(value ?? []).toString()) as object;
  const forged = { ...envelope, id: idOf(number) };
  const record = {
    ...{ topic, key, value: JSON.stringify(forged), headers: { [POISON_HEADER]: String(number) } },
  };
  return prng.pick([
    () => ({ ...record, topic: prng.pick(poisonTopics.filter((other) => other !== topic)) }),
    () => ({ ...record, value: JSON.stringify({ ...forged, source: "nobody" }) }),
    () => ({ ...record, key: `POISON_${number}` }),
  ])();
}

function idOf(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
}

function drawValue(prng: Prng, topic: string, subject: string, number: number): OutgoingRecord["value"] {
  const definition = prng.pick(allMessages.filter((candidate) => candidate.topic.name === topic));
  const id = idOf(number);
  const envelope = {
    specversion: "1.0",
    id,
    source: definition.source,
    type: definition.type,
    subject,
    time: "2026-01-01T00:00:00Z",
    datacontenttype: "application/json",
    correlationid: id,
    causationid: id,
    data: { nothing: "of use" },
  };
  const price = { amount: 1, currency: "EUR" };
  // Passes its schema and is refused by its handler: the total is wrong.
  const refused: Readonly<Record<string, object>> = {
    [PlaceOrder.topic.name]: {
      ...envelope,
      type: PlaceOrder.type,
      source: PlaceOrder.source,
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
