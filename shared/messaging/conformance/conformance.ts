import { afterAll, beforeAll, describe } from "bun:test";
import { administration } from "./administration.ts";
import { type BrokerUnderTest, TEST_TIMEOUT_MS } from "./broker.ts";
import { consuming, sessions } from "./consuming.ts";
import { following, followingOutages } from "./following.ts";
import { foreign } from "./foreign.ts";
import { groups } from "./groups.ts";
import { outages } from "./outages.ts";
import { positions } from "./positions.ts";
import { publishing, refusals } from "./publishing.ts";

export { type BrokerUnderTest, type ClientUnderTest, TEST_TIMEOUT_MS } from "./broker.ts";
export { Fixture, firsts, numbered, Reader, record, rejects } from "./fixture.ts";
export { kafkaBroker } from "./kafka.ts";
export { rawBatch, rawRecord, store } from "./raw.ts";

/** What a broker has besides readers and writers. There are tests for each. */
export interface Abilities {
  /** Sessions, limits, and administration. */
  readonly isServer: boolean;
  readonly hasOutages: boolean;
  /** Batches as their bytes, which another client may have compressed, and distribution of keys by a topic's definition. */
  readonly hasBatches?: boolean;
  /** Topics that are followed in no group. @defaultValue `true` */
  readonly follows?: boolean;
}

/**
 * Tests that a transport keeps the promises in transport.ts.
 *
 * @param start starts a broker; called once for the tests that share one, and once for those with outages
 */
export function transportConformance(
  name: string,
  start: () => Promise<BrokerUnderTest>,
  abilities: Abilities = { isServer: true, hasOutages: true },
): void {
  describe(name, () => {
    const broker = started(start);
    publishing(broker);
    consuming(broker);
    positions(broker);
    groups(broker);
    if (abilities.follows !== false) following(broker);
    foreign(broker, abilities.isServer && abilities.hasBatches !== false);
    if (!abilities.isServer) return;
    refusals(broker);
    sessions(broker);
    administration(broker, abilities.hasBatches !== false);
  });

  if (!abilities.hasOutages) return;
  describe(`${name}, with outages`, () => {
    const broker = started(start);
    outages(broker);
    if (abilities.follows !== false) followingOutages(broker);
  });
}

function started(start: () => Promise<BrokerUnderTest>): () => BrokerUnderTest {
  let broker: BrokerUnderTest | undefined;
  beforeAll(async () => {
    broker = await start();
  }, TEST_TIMEOUT_MS);
  afterAll(async () => broker?.stop(), TEST_TIMEOUT_MS);
  return () => {
    if (broker === undefined) throw new Error("the broker was not started");
    return broker;
  };
}
