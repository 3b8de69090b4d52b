import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { ASYNCAPI_FILE, asyncApiText } from "./asyncapi/document.ts";
import { runCommand } from "./command/command.ts";

/** `bun run asyncapi`: generates docs/asyncapi.json. A test fails while the file is out of date. */
await runCommand("asyncapi", async () => {
  writeFileSync(join(ROOT, ASYNCAPI_FILE), await asyncApiText());
  console.log(`wrote ${ASYNCAPI_FILE}`);
  return 0;
});
