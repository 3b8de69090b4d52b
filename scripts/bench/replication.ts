import { type Comparison, compare, type Figure } from "./comparison.ts";
import type { OtherBroker } from "./other-broker.ts";
import { type Lengths, type Measuring, measureHighestRate, measureLatency } from "./scenarios.ts";
import { System } from "./system.ts";

const REPLICATED = "two instances of order and inventory";
const ONE = "one of each";

/**
 * The latencies and the highest rate of a store whose order and inventory have two instances, beside one without
 * replication, and what an order takes in the change logs. The second instances use the processors of the same machine. The
 * gateway and the notification service run once in both, and the gateway answers once an order is on its disk.
 *
 * @param onLimit called with what limits the worth of the figures
 * @throws CommandFailed unless every order was confirmed
 */
export async function measureReplication(
  { rounds, lengths, broker }: { rounds: number; lengths: Lengths; broker: OtherBroker | undefined },
  report: (line: string) => void,
  onLimit: Measuring["onLimit"],
): Promise<Comparison[]> {
  const comparisons = await compare([REPLICATED, ONE], rounds, report, async (subject, round) => {
    await using system = await System.start("store", {
      broker,
      isReplicated: subject === REPLICATED,
    });
    const measuring = {
      ...{ system, lengths },
      onLimit: (what: string) => onLimit(`round ${round}, ${subject}: ${what}`),
    };
    const latencies = await measureLatency(measuring);
    const before = system.changeLogBytes();
    const highest = await measureHighestRate(measuring);
    return [...latencies, ...highest, ...sizeFigures(system.changeLogBytes() - before, lengths)];
  });
  return comparisons.map((comparison) => ({ ...comparison, section: `${comparison.section}, replication` }));
}

function sizeFigures(bytes: number, { orders, atOnce }: Lengths): Figure[] {
  if (bytes === 0) return [];
  // As many as measureHighestRate places.
  const placed = Math.max(2 * atOnce, Math.ceil(orders / 5)) + orders + atOnce;
  const value = bytes / placed;
  return [{ section: "Change logs", name: "of an order, at the highest rate", unit: "bytes", value }];
}
