/** Supervises two fake processes, one of them paused, prints their process ids, and runs until it is killed. */
import { Supervisor } from "../supervisor.ts";
import { fake } from "./processes.ts";

const supervisor = new Supervisor([{ processes: [fake("running"), fake("paused")] }]);
await supervisor.startAll();
supervisor.process("paused").pause();
console.log(JSON.stringify(supervisor.report().map(({ pid }) => pid)));
