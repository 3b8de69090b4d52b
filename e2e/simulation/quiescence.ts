import type { World } from "./world.ts";

/** What keeps the world from being at rest; undefined when nothing does. */
export function unfinished({ workload, network, processes, patient }: World): string | undefined {
  if (workload.open > 0) return `${workload.open} customers still wait for an answer`;
  if (network.inFlight > 0) return `${network.inFlight} messages are on the wire`;
  for (const process of processes) {
    const { running, name } = process;
    if (running === undefined || running.stopping) return `${name} is down`;
    const phase = running.rebuild?.status().phase;
    if (phase === "reading" || phase === "checking") return `${name} makes its copies anew`;
    const letters = process.disk.count("dead_letters");
    if (letters > 0) return `${letters} dead letters are left at ${name}`;
    // An order that may wait for a month does.
    const timers = process.disk.count(patient ? "timers WHERE name <> 'backorder-expiry'" : "timers");
    if (timers > 0) return `${timers} deadlines have not come at ${name}`;
    const waiting = process.disk.count("outbox");
    if (waiting > 0) return `${waiting} messages wait in the outbox of ${name}`;
    for (const topic of network.log.topics) {
      if (!process.hasRead(network.log.partitionsOf(topic.name))) return `${name} has not read ${topic.name}`;
    }
  }
  return undefined;
}
