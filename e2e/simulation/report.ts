import { type FaultName, faultNames } from "./faults.ts";
import type { Report } from "./simulate.ts";

/** What makes a run again exactly as it was. */
export function replayCommand({ seed, orders, without, mutation }: Report): string {
  const options = [`--seeds 1 --from ${seed} --orders ${orders}`];
  if (without.length > 0) options.push(`--without ${without.join(",")}`);
  if (mutation !== undefined) options.push(`--take-away "${mutation}"`);
  return `bun run simulate ${options.join(" ")} --trace`;
}

/** A run that failed: what is wrong, how to see it again, and what happened last. */
export function describeFailure(report: Report): string {
  const { seed, orders, violations, tail, digest } = report;
  return [
    `seed ${seed}, ${orders} orders, trace ${digest}: ${violations.length} violations`,
    ...violations.map((violation) => `  ${violation}`),
    `replay: ${replayCommand(report)}`,
    "the trace ends:",
    ...tail.map((line) => `  ${line}`),
  ].join("\n");
}

/** Sums of many runs. */
export class Totals {
  runs = 0;
  failed = 0;
  orders = 0;
  accepted = 0;
  crashes = 0;
  steps = 0;
  virtualMs = 0;
  readonly struck = new Map<FaultName, number>();

  add(report: Report): void {
    this.runs += 1;
    if (report.violations.length > 0) this.failed += 1;
    this.orders += report.orders;
    this.accepted += report.accepted;
    this.crashes += report.crashes;
    this.steps += report.steps;
    this.virtualMs += report.virtualMs;
    for (const [name, count] of report.struck) this.struck.set(name, (this.struck.get(name) ?? 0) + count);
  }

  /** How often each fault has struck, in the order of the table. */
  faults(): string {
    return faultNames.map((name) => `${name} ${this.struck.get(name) ?? 0}`).join(", ");
  }
}
