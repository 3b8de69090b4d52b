import { writeFileSync } from "node:fs";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { parseOptions, requireWritableFile, runCommand, table } from "./command/command.ts";
import { billOf, cycloneDx } from "./sbom/bill.ts";

const USAGE = `usage: bun run sbom [options]

Prints the software bill of materials (CycloneDX 1.6, JSON): the project's packages and what they need at run time. Scope
"required" is what the container image has; "excluded" is what only tests and scripts use. Bun itself is not in it.

  --licences       print the name, version, scope and licence of each instead
  --output FILE    write to a file instead of printing`;

await runCommand("sbom", USAGE, async (args) => {
  const { values } = parseOptions(args, {
    licences: { type: "boolean", default: false },
    output: { type: "string" },
  });
  if (values.output !== undefined) requireWritableFile("--output", values.output);
  const text = values.licences ? licences() : JSON.stringify(cycloneDx(ROOT), null, 2);
  if (values.output === undefined) console.log(text);
  else writeFileSync(values.output, `${text}\n`);
  return 0;
});

function licences(): string {
  const rows = billOf(ROOT).map(({ name, version, scope, licence }) => [name, version, scope, licence]);
  return table(["name", "version", "scope", "licence"], rows);
}
