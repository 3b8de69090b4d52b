import type { RecurringFault } from "./faults.ts";
import { recurringFaults } from "./faults.ts";
import { STRAGGLING_MS } from "./network.ts";
import { drawPoison } from "./poison.ts";
import type { World } from "./world.ts";

/** The most that a clock can be wrong by, either way: far below the time for which the inbox remembers. */
const MOST_OFFSET_MS = 2 * 24 * 60 * 60 * 1000;

/** Longer than a copy may straggle: or else an old state that comes late would take the place of a newer one. */
const COMPACTION_LAG_MS = STRAGGLING_MS + 2_000;

/** What each fault that strikes at random moments does. @returns whether there was something to do it to */
const strikes: Readonly<Record<RecurringFault, (world: World, count: number) => boolean>> = {
  crash: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.crash("out of the blue");
    return true;
  },
  orderlyRestart: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.restart(prng.exponential(300));
    return true;
  },
  longDowntime: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.crash("for long", prng.exponential(15_000));
    return true;
  },
  brokerAway: ({ network, prng, scheduler }) => {
    if (!network.up) return false;
    network.goAway();
    scheduler.after(prng.exponential(3_000), () => {
      if (!network.up) network.comeBack();
    });
    return true;
  },
  rebalance: ({ network, processes, prng }) => {
    network.rebalance(prng.pick(processes).name);
    return true;
  },
  clockJump: ({ processes, prng, trace }) => {
    const { clock, name } = prng.pick(processes);
    const jumpMs = 10 ** (1 + prng.float() * 7) * (prng.chance(0.5) ? 1 : -1);
    const offsetMs = clock.offsetMs + jumpMs;
    clock.offsetMs = Math.max(-MOST_OFFSET_MS, Math.min(MOST_OFFSET_MS, offsetMs));
    trace.note(name, `has its clock set by ${Math.round(jumpMs)} ms`);
    return true;
  },
  poison: ({ network, prng, trace, poisons, processes }, count) => {
    const record = drawPoison(prng, count, network.log);
    trace.note("somebody", `puts poison ${count} into ${record.topic}`);
    poisons.push(record);
    for (const { handlerWatch } of processes) if (record.key !== null) handlerWatch.suspect(record.key);
    network.store([record]);
    return true;
  },
  compaction: (world) => {
    const { prng, trace, scheduler, network } = world;
    const { log } = network;
    const compacted = log.topics.filter(({ config }) => config["cleanup.policy"] === "compact");
    const { name } = prng.pick(compacted);
    const beforeMs = scheduler.nowMs - COMPACTION_LAG_MS;
    const removed = log.partitionsOf(name).reduce((sum, partition) => sum + partition.compact(beforeMs), 0);
    if (removed > 0) world.compacted.add(name);
    if (removed > 0) trace.note("broker", `drops ${removed} records of ${name}`);
    return removed > 0;
  },
  topicRecreated: (world) => {
    const { network, prng, trace } = world;
    const { name } = prng.pick(network.log.topics);
    // What nobody has read would be gone by definition: only a topic that everybody has read is made anew.
    if (!world.everybodyHasRead(name)) return false;
    for (const partition of network.log.partitionsOf(name)) partition.clear();
    world.recreated.add(name);
    trace.note("broker", `has ${name} made anew`);
    network.rebalance();
    // One who is away does not see how the new topic grows past the end of the old one.
    if (prng.chance(0.5)) prng.pick(world.processes).crash("for long", prng.exponential(8_000));
    return true;
  },
  operator: ({ operator, prng, processes }) => {
    operator.tryOne(prng.pick(processes));
    return true;
  },
  rebuild: ({ operator, prng, processes }) => {
    operator.rebuild(prng.pick(processes), false);
    return true;
  },
};

/** Lets the recurring faults strike, each in its own rhythm, until the faults are turned off. */
export function unleash(world: World): void {
  for (const name of recurringFaults) plan(world, name, 0);
}

function plan(world: World, name: RecurringFault, count: number): void {
  const { faults, scheduler } = world;
  const delayMs = faults.nextMs(name);
  if (delayMs === undefined) return;
  scheduler.after(delayMs, () => {
    if (!faults.enabled) return;
    if (strikes[name](world, count)) faults.count(name);
    plan(world, name, count + 1);
  });
}
