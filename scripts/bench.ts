import { cpus } from "node:os";
import { benchStore } from "./bench/store.ts";
import { benchUnitOfWork } from "./bench/unit-of-work.ts";
import { benchWaitingOrders } from "./bench/waiting-orders.ts";
import { runCommand } from "./command/command.ts";

const USAGE = `usage: bun run bench

Measures how many units of work a second the kit commits, how long the inventory takes while 10,000 orders wait, and
how many orders a second a store takes. Figures of different machines, or of different times on a shared machine,
cannot be compared.`;

await runCommand("bench", USAGE, async () => {
  console.log(`Bun ${Bun.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}`);
  await benchUnitOfWork();
  await benchWaitingOrders();
  await benchStore();
  return 0;
});
