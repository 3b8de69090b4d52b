import { type FaultName, faultNames } from "./faults.ts";

/** The result of a run. It can be sent to another process. */
export interface Report {
  readonly seed: number;
  readonly orders: number;
  /** Instances of each replicated service; 1: none was replicated. */
  readonly replicas: number;
  readonly without: readonly FaultName[];
  /** The name of the mutant, if the run had one. */
  readonly mutant?: string;
  /** Empty if every invariant held. */
  readonly violations: readonly string[];
  /** Whether it ended because a copy of a file took over from an owner that did not answer in time. */
  readonly isAbandoned: boolean;
  /** Equal for every run with equal options. */
  readonly digest: string;
  /** Orders whose clients have received that they are accepted. */
  readonly accepted: number;
  readonly crashes: number;
  /** How often another instance of a replicated service began to lead. */
  readonly leaders: number;
  /** Events that happened. */
  readonly steps: number;
  /** How long the run took in virtual time. */
  readonly virtualMs: number;
  /** How often each fault occurred. */
  readonly faults: readonly (readonly [FaultName, number])[];
  /** The last lines of the trace, if the run failed. */
  readonly tail: readonly string[];
}

/** A failed run: its violations, the command that repeats it, and the end of its trace. */
export function describeFailure(report: Report): string {
  const { seed, orders, replicas, without, mutant, violations, tail, digest } = report;
  const options = [`--seeds 1 --from ${seed} --orders ${orders}`];
  if (replicas > 1) options.push(`--replicas ${replicas}`);
  if (without.length > 0) options.push(`--without ${without.join(",")}`);
  if (mutant !== undefined) options.push(`--take-away "${mutant}"`);
  return [
    `seed ${seed}, ${orders} orders, trace ${digest}: ${violations.length} violations`,
    ...violations.map((violation) => `  ${violation}`),
    `repeat: bun run simulate ${options.join(" ")} --trace`,
    "end of the trace:",
    ...tail.map((line) => `  ${line}`),
  ].join("\n");
}

/** Sums over many runs. */
export class Totals {
  runs = 0;
  orders = 0;
  accepted = 0;
  crashes = 0;
  leaders = 0;
  abandoned = 0;
  readonly faults = new Map<FaultName, number>(faultNames.map((name) => [name, 0]));

  add({ orders, accepted, crashes, leaders, faults, isAbandoned }: Report): void {
    if (isAbandoned) this.abandoned += 1;
    this.runs += 1;
    this.orders += orders;
    this.accepted += accepted;
    this.crashes += crashes;
    this.leaders += leaders;
    for (const [name, count] of faults) this.faults.set(name, (this.faults.get(name) ?? 0) + count);
  }
}
