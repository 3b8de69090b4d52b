import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allMessages } from "@distributed-messaging/contracts";
import { contractProblems, contractRecords, readRecords } from "@distributed-messaging/messaging/records";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { CommandFailed, parseOptions, runCommand } from "./command/command.ts";

const USAGE = `usage: bun run record-contracts

Records the message contracts that are new. An existing record is never overwritten: a released version does not
change, see docs/decisions.`;

const location = { folder: "shared/contracts/schemas", command: "bun run record-contracts" };

await runCommand("record-contracts", USAGE, async (args) => {
  parseOptions(args, {});
  const folder = join(ROOT, location.folder);
  mkdirSync(folder, { recursive: true });
  for (const [name, record] of contractRecords(allMessages)) {
    const file = join(folder, `${name}.json`);
    if (existsSync(file)) continue;
    writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
    console.log(`recorded ${location.folder}/${name}.json`);
  }
  const problems = contractProblems(allMessages, readRecords(folder), location);
  if (problems.length > 0) throw new CommandFailed(problems.join("\n"));
  console.log("every contract matches its record");
  return 0;
});
