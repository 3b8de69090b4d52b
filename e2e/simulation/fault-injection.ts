import { topics } from "@distributed-messaging/contracts";
import { type IncomingRecord, ownerTopic } from "@distributed-messaging/messaging";
import { CHANGE_LOG } from "@distributed-messaging/messaging/internal";
import { messageTopics, storeTopics } from "@distributed-messaging/services/registry";
import { MAX_REQUEST_DELAY_MS } from "./broker.ts";
import { type RecurringFault, recurringFaults } from "./faults.ts";
import { drawPoison, POISON_HEADER, poisonTopics } from "./poison.ts";
import type { Process } from "./process.ts";
import { DOWN_MS } from "./simulated-service.ts";
import type { Disk } from "./storage.ts";
import type { World } from "./world.ts";

/** Mean durations. */
const LONG_DOWN_MS = 15_000;
const DOWN_AFTER_RECREATION_MS = 8_000;
const OUTAGE_MS = 3_000;
const PAUSED_MS = 3_000;
/** After the process that took its place owns the service. */
const WOKEN_MS = 300;
/** A second process asks for five seconds. */
const MIN_BESIDE_MS = 6_000;
const BESIDE_AFTER_MS = 2_000;
const BESIDE_POLL_MS = 200;
const MAX_TRUNCATED = 5;
const MAX_UNDECODABLE = 3;
const DOWN_BEFORE_RETENTION_MS = 10_000;
/** In this time another instance leads. */
const LATE_MS = 5_500;
/** How often all machines of a service are lost, instead of one. */
const ALL_LOST = 0.3;
/** `min.compaction.lag.ms`. Longer than a request may be late: an older state would otherwise supersede a newer one. */
const COMPACTION_LAG_MS = MAX_REQUEST_DELAY_MS + 2_000;

/** Events are kept for ever, so that only commands can be removed before they are read. */
const commandTopics = [topics.orderCommands, topics.inventoryCommands].map(({ name }) => name);
const deleteTopics = [...commandTopics, topics.orderEvents.name, topics.inventoryEvents.name];

/**
 * Starts a second process of a service for some time, once the first one owns the service.
 *
 * @param file on which it runs
 * @param owns when it may own the service: never, or if its question was not answered in time
 */
function runBeside(
  world: World,
  process: Process<unknown>,
  file: () => Disk,
  owns: "never" | "unanswered",
): boolean {
  const { prng, scheduler, faults } = world;
  if (process.running === undefined) return false;
  const owned = () => {
    if (owns === "unanswered" && !isAnswered(world, process.name)) world.abandon();
    else world.violation(`a second process of ${process.name} owns it`);
  };
  const startWhenOwned = () => {
    if (!faults.enabled) return;
    if (process.running === undefined || process.running.stopping || !process.owns) {
      scheduler.after(BESIDE_POLL_MS, startWhenOwned);
      return;
    }
    process.startOther(file(), owned);
    scheduler.after(prng.between(MIN_BESIDE_MS, 2 * MIN_BESIDE_MS), () => process.endOthers());
  };
  scheduler.after(prng.exponential(BESIDE_AFTER_MS), startWhenOwned);
  return true;
}

/** Whether the owner has written a claim after the last question and before the claim of who asked. */
function isAnswered({ broker }: World, service: string): boolean {
  const [log] = broker.partitionsOf(ownerTopic(service).name);
  const kinds = log?.records.map(({ key }) => key) ?? [];
  return kinds.slice(kinds.lastIndexOf("question") + 1).length > 1;
}

/** Whether the log of the owners says that a service has a change log: no other process may own it from then on. */
function isOfChangeLog({ broker }: World, service: string): boolean {
  const [log] = broker.partitionsOf(ownerTopic(service).name);
  const fileIn = ({ value }: IncomingRecord) =>
    (JSON.parse(Buffer.from(value ?? []).toString()) as { file?: string }).file;
  return log?.records.some((record) => fileIn(record) === CHANGE_LOG) === true;
}

/** What each recurring fault does. @returns whether there was anything to do it to */
const injections: Readonly<Record<RecurringFault, (world: World, count: number) => boolean>> = {
  crash: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.crash("at a random time");
    return true;
  },
  orderlyRestart: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.restart(prng.exponential(DOWN_MS));
    return true;
  },
  longDowntime: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.crash("for a long time", prng.exponential(LONG_DOWN_MS));
    return true;
  },
  brokerAway: ({ broker, prng, scheduler }) => {
    if (!broker.up) return false;
    broker.shutDown();
    scheduler.after(prng.exponential(OUTAGE_MS), () => {
      if (!broker.up) broker.startUp();
    });
    return true;
  },
  pause: ({ processes, prng }) => {
    const process = prng.pick(processes);
    if (process.running === undefined) return false;
    process.pause(prng.exponential(PAUSED_MS));
    return true;
  },
  replaced: ({ single, prng }) => {
    const process = prng.pick(single);
    if (process.running === undefined || process.running.stopping || !process.owns) return false;
    process.replace(prng.chance(0.5) ? 0 : prng.exponential(WOKEN_MS));
    return true;
  },
  moved: (world) => {
    const { single, prng } = world;
    const process = prng.pick(single);
    if (process.running === undefined) return false;
    const left = process.move(prng.exponential(DOWN_MS));
    runBeside(world, process, () => left, "never");
    return true;
  },
  takeOver: ({ single, prng }) => {
    const process = prng.pick(single);
    if (process.running === undefined) return false;
    process.move(prng.exponential(DOWN_MS));
    process.disk.database.sql.run("UPDATE ownership SET file = file || ' restored', takes_over = 1");
    return true;
  },
  emptyFile: (world) => {
    const process = world.prng.pick(world.single);
    return runBeside(world, process, () => process.emptyDisk(), "never");
  },
  copiedFile: (world) => {
    const process = world.prng.pick(world.single);
    return runBeside(world, process, () => process.copyDisk(), "unanswered");
  },
  olderFile: (world) => {
    const process = world.prng.pick(world.single);
    if (process.running === undefined) return false;
    const older = process.copyDisk();
    return runBeside(world, process, () => older, "unanswered");
  },
  takeOverFromLiving: (world) => {
    const process = world.prng.pick(world.single);
    const copy = () => {
      const disk = process.copyDisk();
      disk.database.sql.run("UPDATE ownership SET file = file || ' restored', takes_over = 1");
      return disk;
    };
    return runBeside(world, process, copy, "unanswered");
  },
  instanceDestroyed: ({ replicated, prng }) => {
    if (replicated.length === 0) return false;
    const service = prng.pick(replicated);
    const downMs = prng.exponential(DOWN_MS);
    if (prng.chance(ALL_LOST)) service.destroyAll(downMs);
    else service.destroy(downMs);
    return true;
  },
  leaderPaused: ({ replicated, prng }) => {
    if (replicated.length === 0) return false;
    const service = prng.pick(replicated);
    if (service.running === undefined || service.running.stopping) return false;
    service.pauseLeader(LATE_MS + prng.exponential(PAUSED_MS));
    return true;
  },
  unreplicated: (world) => {
    const { replicated, prng, scheduler } = world;
    if (replicated.length === 0) return false;
    const service = prng.pick(replicated);
    if (!isOfChangeLog(world, service.name)) return false;
    service.startOther(() => world.violation(`a process of ${service.name} without replication owns it`));
    scheduler.after(prng.between(MIN_BESIDE_MS, 2 * MIN_BESIDE_MS), () => service.endOthers());
    return true;
  },
  rebalance: ({ broker, processes, prng }) => {
    broker.rebalance(prng.pick(processes).name);
    return true;
  },
  clockJump: ({ processes, prng, trace }) => {
    const process = prng.pick(processes);
    const jumpMs = 10 ** (1 + prng.float() * 7) * (prng.chance(0.5) ? 1 : -1);
    const [only, ...others] = process.clocks;
    const clock = others.length === 0 ? only : prng.pick(process.clocks);
    clock?.jump(jumpMs);
    trace.note(process.name, `clock jumps by ${Math.round(jumpMs)} ms`);
    return true;
  },
  poison: ({ broker, prng, trace, poison, processes }, count) => {
    const topic = prng.pick(poisonTopics);
    const genuine = broker
      .partitionsOf(topic)
      .flatMap(({ records }) => records.slice(-3))
      .filter(({ headers }) => !(POISON_HEADER in headers));
    const record = drawPoison(prng, count, topic, genuine);
    trace.note("fault", `poison ${count} in ${topic}`);
    poison.push(record);
    for (const { instrumented } of processes) if (record.key !== null) instrumented.suspect(record.key);
    broker.store([record]);
    return true;
  },
  compaction: ({ prng, trace, scheduler, broker, compacted }) => {
    const { name } = prng.pick(storeTopics.filter(({ config }) => config["cleanup.policy"] === "compact"));
    const beforeMs = scheduler.nowMs - COMPACTION_LAG_MS;
    // A real broker would drop a genuine record in favour of poison with its key, or of a late copy of an earlier one,
    // which nothing can make up for: docs/messaging.md has both under what the kit does not do.
    const dropped = broker
      .partitionsOf(name)
      .reduce((sum, log) => sum + log.compact(beforeMs, ({ headers }) => POISON_HEADER in headers), 0);
    if (dropped === 0) return false;
    compacted.add(name);
    trace.note("broker", `compacts ${name}: ${dropped} records dropped`);
    return true;
  },
  topicRecreated: (world) => {
    const { broker, prng, trace, incomplete, processes } = world;
    const topic = prng.pick(messageTopics);
    // Unread records would be lost by definition.
    if (!world.isRead(topic.name)) return false;
    trace.note("broker", `${topic.name} is deleted and created again`);
    broker.deleteTopic(topic.name);
    broker.createTopics([topic]);
    incomplete.add(topic.name);
    // A service that is down does not see the new log grow past the end of the old one.
    if (prng.chance(0.5)) {
      prng.pick(processes).crash("for a long time", prng.exponential(DOWN_AFTER_RECREATION_MS));
    }
    return true;
  },
  logTruncated: (world) => {
    const { broker, prng } = world;
    const log = prng.pick(messageTopics.flatMap(({ name }) => broker.partitionsOf(name)));
    // Records that nobody has read would be lost by definition.
    if (log.records.length === 0 || !world.isRead(log.topic)) return false;
    world.truncate(log, prng.between(1, MAX_TRUNCATED));
    return true;
  },
  undecodable: ({ broker, prng }, count) => {
    const log = prng.pick(poisonTopics.flatMap((topic) => broker.partitionsOf(topic)));
    broker.storeUndecodable(log, prng.between(1, MAX_UNDECODABLE), Buffer.from(`undecodable ${count}`));
    return true;
  },
  retention: (world) => {
    const { broker, prng } = world;
    const log = prng.pick(deleteTopics.flatMap((topic) => broker.partitionsOf(topic)));
    const readUpTo = world.readUpTo(log) ?? 0;
    if (readUpTo <= log.start) return false;
    world.trim(log, prng.between(log.start + 1, readUpTo));
    return true;
  },
  retentionUnread: (world) => {
    const { broker, prng } = world;
    const topic = prng.pick(commandTopics);
    const unread = broker.partitionsOf(topic).filter((log) => (world.readUpTo(log) ?? log.end) < log.end);
    if (unread.length === 0) {
      // Next time there may be unread records.
      prng.pick(world.readersOf(topic)).crash("for a long time", prng.exponential(DOWN_BEFORE_RETENTION_MS));
      return false;
    }
    for (const log of unread) world.trim(log, prng.between((world.readUpTo(log) ?? log.start) + 1, log.end));
    return true;
  },
  operator: ({ operator, prng, processes }) => {
    const process = prng.pick(processes);
    operator.resolveAny(process);
    operator.lookAtStops(process);
    if (prng.chance(0.3)) operator.retryOutgoing(prng.pick(processes));
    return true;
  },
  rebuild: ({ operator, prng, processes }) => {
    operator.rebuild(prng.pick(processes), false);
    return true;
  },
};

/** Injects the recurring faults, each at its own rate, until faults are disabled. */
export function injectRecurringFaults(world: World): void {
  for (const name of recurringFaults) schedule(world, name, 0);
}

function schedule(world: World, name: RecurringFault, count: number): void {
  const { faults, scheduler } = world;
  const delayMs = faults.nextMs(name);
  if (delayMs === undefined) return;
  scheduler.after(delayMs, () => {
    if (!faults.enabled) return;
    if (injections[name](world, count)) faults.count(name);
    schedule(world, name, count + 1);
  });
}
