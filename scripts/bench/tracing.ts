import { type Comparison, compare } from "./comparison.ts";
import type { OtherBroker } from "./other-broker.ts";
import { type Lengths, type Measuring, measureHighestRate } from "./scenarios.ts";
import { System } from "./system.ts";

const SAMPLED = "1 % of the traces";
const OFF = "no traces";

/**
 * The highest rate of a store that records one trace of a hundred and sends it to a receiver, beside one that records
 * none. Every round starts both anew: what differs from start to start is part of the spread.
 *
 * @param onLimit called with what limits the worth of the figures
 * @throws CommandFailed unless every order was confirmed
 */
export async function measureTracing(
  { rounds, lengths, broker }: { rounds: number; lengths: Lengths; broker: OtherBroker | undefined },
  report: (line: string) => void,
  onLimit: Measuring["onLimit"],
): Promise<Comparison[]> {
  // Only that it answers matters.
  using receiver = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      await request.arrayBuffer();
      return Response.json({});
    },
  });
  const sampled = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${receiver.port}`,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
  };
  const comparisons = await compare([SAMPLED, OFF], rounds, report, async (subject, round) => {
    await using system = await System.start("store", { broker, env: subject === OFF ? {} : sampled });
    return await measureHighestRate({
      ...{ system, lengths },
      onLimit: (what) => onLimit(`round ${round}, ${subject}: ${what}`),
    });
  });
  return comparisons.map((comparison) => ({ ...comparison, section: `${comparison.section}, traces` }));
}
