/** Runs two fake processes, one of them paused, prints their process ids, and waits to be killed. */
import { ProcessGroup } from "../process-group.ts";
import { fake } from "./processes.ts";

const group = new ProcessGroup({ stages: [{ processes: [fake("running"), fake("paused")] }] });
await group.startAll();
group.process("paused").pause();
console.log(JSON.stringify(group.processes().map(({ pid }) => pid)));
