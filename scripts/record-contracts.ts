import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { allMessages } from "@distributed-messaging/contracts";
import {
  type ContractRecord,
  contractProblems,
  contractRecords,
  RECORDS_FOLDER,
} from "@distributed-messaging/messaging/records";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { runCommand } from "./command/command.ts";
import { UsageError } from "./start/settings.ts";

/**
 * `bun run record-contracts`: records the contracts that are new. A record that exists is never written again:
 * what was released does not change, see docs/decisions.
 */

const folder = join(ROOT, RECORDS_FOLDER);

async function main(): Promise<number> {
  mkdirSync(folder, { recursive: true });
  for (const [name, record] of contractRecords(allMessages)) {
    const file = join(folder, `${name}.json`);
    if (existsSync(file)) continue;
    writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
    console.log(`recorded ${RECORDS_FOLDER}/${name}.json`);
  }
  const problems = contractProblems(allMessages, recordedContracts());
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  console.log("every contract is as it was recorded");
  return 0;
}

function recordedContracts(): Map<string, ContractRecord> {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return new Map(
    files.map((file) => [
      basename(file, ".json"),
      JSON.parse(readFileSync(join(folder, file), "utf8")) as ContractRecord,
    ]),
  );
}

await runCommand("record-contracts", main);
