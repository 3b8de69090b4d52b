import { ClientMissing } from "@distributed-messaging/e2e/clients/toolchains";
import { type Comparison, compare } from "./comparison.ts";
import type { BenchOptions } from "./options.ts";
import { measureHighestRate, measureLatency } from "./scenarios.ts";
import { System } from "./system.ts";
import { provideWatermill, WatermillSystem } from "./watermill.ts";

/** Orders a second that both manage on a slow machine. */
const PER_SECOND = 50;

/**
 * Measures the store and the same path of an order with Watermill and PostgreSQL in turn. Nothing, and one line says why,
 * where the machine lacks what that needs.
 */
export async function measureBesideWatermill(
  { rounds, lengths, broker }: Pick<BenchOptions, "rounds" | "lengths" | "broker">,
  say: (line: string) => void,
  onLimit: (what: string) => void,
): Promise<Comparison[]> {
  const tools = await provideWatermill().catch((error: unknown) => {
    if (!(error instanceof ClientMissing)) throw error;
    say(`left out the store beside Watermill: ${error.message}`);
    return undefined;
  });
  if (tools === undefined) return [];
  return compare(["store", "watermill"], rounds, async (name, round) => {
    say(`round ${round} of ${rounds}: ${name}`);
    await using system = await (name === "store"
      ? System.start(name, { broker })
      : WatermillSystem.start(tools, broker));
    const measuring = {
      ...{ system, lengths: { ...lengths, rates: [PER_SECOND] } },
      onLimit: (what: string) => onLimit(`round ${round}, ${name} beside Watermill: ${what}`),
    };
    const figures = [...(await measureLatency(measuring)), ...(await measureHighestRate(measuring))];
    return figures.map((figure) => ({ ...figure, section: `Beside Watermill: ${figure.section}` }));
  });
}
