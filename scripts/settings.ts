import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { parseOptions, runCommand } from "./command/command.ts";
import { SETTINGS_FILE, settingsText } from "./settings/document.ts";

const USAGE = `usage: bun run settings

Generates ${SETTINGS_FILE}: every setting of the services, the commands and the kit.`;

await runCommand("settings", USAGE, async (args) => {
  parseOptions(args, {});
  writeFileSync(join(ROOT, SETTINGS_FILE), await settingsText());
  console.log(`wrote ${SETTINGS_FILE}`);
  return 0;
});
