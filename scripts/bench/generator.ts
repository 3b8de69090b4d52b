import { join } from "node:path";
import { spawnChild } from "@distributed-messaging/supervisor/child";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Value } from "@sinclair/typebox/value";
import { CommandFailed } from "../command/command.ts";
import { LoadEvent, type LoadRequest } from "./load.ts";
import type { System } from "./system.ts";
import type { Usage } from "./usage.ts";

/** What every system has that can be measured. */
export interface MeasuredSystem extends Pick<System, "gateway" | "notification"> {
  /** By process; none where that cannot be read. */
  usage(): Used;
}

export interface Loaded {
  readonly system: MeasuredSystem;
  /** Without an end of any order for so long, the rest is given up. */
  readonly patienceMs?: number;
  /** The catalogue shows the stock when it has not changed for so long. */
  readonly settleMs?: number;
}

const CUSTOMERS = 20;
const LINES = 2;
const PATIENCE_MS = 30_000;
const SETTLE_MS = 1_000;

export type Used = ReadonlyMap<string, Usage>;
export type Done = Extract<LoadEvent, { event: "done" }>;

/**
 * Runs the load generator.
 *
 * @param on called at these events, in place of reading what is used
 * @throws CommandFailed when it ends early, or an order was not confirmed
 */
export async function load(
  { system, patienceMs = PATIENCE_MS, settleMs = SETTLE_MS }: Loaded,
  what: Pick<LoadRequest, "warmUp" | "orders" | "arrivals">,
  on: { readonly measuring?: () => void; readonly measured?: () => void } = {},
): Promise<{ readonly done: Done; readonly before: Used; readonly after: Used }> {
  const { gateway, notification } = system;
  const request: LoadRequest = {
    ...{ gateway, notification, customers: CUSTOMERS, lines: LINES, patienceMs, settleMs },
    ...what,
  };
  let before: Used = new Map();
  let after: Used = new Map();
  let done: Done | undefined;
  const errors: string[] = [];
  const env = { PATH: process.env.PATH ?? "", TMPDIR: process.env.TMPDIR ?? "/tmp" };
  const generator = spawnChild(
    {
      entry: join(ROOT, "scripts/bench/load.ts"),
      // An open loop has as many requests under way as there are; by default, Bun's fetch lets others wait.
      env: { ...env, LOAD: JSON.stringify(request), BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" },
    },
    (source, line) => {
      if (source === "stderr") {
        errors.push(line);
        return;
      }
      const event = Value.Parse(LoadEvent, JSON.parse(line));
      if (event.event === "done") done = event;
      else if (on[event.event] !== undefined) on[event.event]?.();
      else if (event.event === "measured") after = system.usage();
      else before = system.usage();
    },
  );
  const end = await generator.ended;
  if (done === undefined)
    throw new CommandFailed([`the load generator ended early (${end})`, ...errors].join("\n"));
  if (done.outcome.faults.length > 0) throw new CommandFailed(done.outcome.faults.join("\n"));
  return { done, before, after };
}
