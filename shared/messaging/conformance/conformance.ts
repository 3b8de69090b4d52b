import { afterAll, beforeAll, describe } from "bun:test";
import { administration } from "./administration.ts";
import { type BrokerUnderTest, PATIENT_MS } from "./broker.ts";
import { consuming, sessions } from "./consuming.ts";
import { groups } from "./groups.ts";
import { outages } from "./outages.ts";
import { positions } from "./positions.ts";
import { publishing } from "./publishing.ts";

export { type BrokerUnderTest, type ClientUnderTest, PATIENT_MS } from "./broker.ts";
export { Fixture, firsts, numbered, Reader, record, rejects } from "./fixture.ts";
export { kafkaBroker } from "./kafka.ts";

/** What a broker has besides readers and writers; there are tests for each. */
export interface Abilities {
  /** Sessions, and administration. */
  readonly isServer: boolean;
  readonly goesAway: boolean;
}

/**
 * Holds a transport to the promises in transport.ts.
 *
 * @param start makes a broker; called once for what can run at the same time, and once for what takes it away
 */
export function transportConformance(
  name: string,
  start: () => Promise<BrokerUnderTest>,
  abilities: Abilities = { isServer: true, goesAway: true },
): void {
  describe(name, () => {
    const broker = started(start);
    publishing(broker);
    consuming(broker);
    positions(broker);
    groups(broker);
    if (!abilities.isServer) return;
    sessions(broker);
    administration(broker);
  });

  if (abilities.goesAway) describe(`${name}, which goes away`, () => outages(started(start)));
}

function started(start: () => Promise<BrokerUnderTest>): () => BrokerUnderTest {
  let broker: BrokerUnderTest | undefined;
  beforeAll(async () => {
    broker = await start();
  }, PATIENT_MS);
  afterAll(async () => broker?.stop(), PATIENT_MS);
  return () => {
    if (broker === undefined) throw new Error("the broker was not started");
    return broker;
  };
}
