import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { ASYNCAPI_FILE, asyncApiText } from "./asyncapi/document.ts";
import { parseOptions, runCommand } from "./command/command.ts";

const USAGE = `usage: bun run asyncapi

Generates ${ASYNCAPI_FILE} from the contracts and the handlers of the services.`;

await runCommand("asyncapi", USAGE, async (args) => {
  parseOptions(args, {});
  writeFileSync(join(ROOT, ASYNCAPI_FILE), await asyncApiText());
  console.log(`wrote ${ASYNCAPI_FILE}`);
  return 0;
});
