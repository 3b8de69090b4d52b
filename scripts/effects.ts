import type { ShownEffect, ShownEffectDetails } from "@distributed-messaging/service/effects";
import { actionLines } from "./command/admin.ts";
import { runParkedCommand } from "./command/parked.ts";

await runParkedCommand<ShownEffect, ShownEffectDetails>({
  name: "effects",
  commands: `  list                      dead effects: calls of other systems that failed too often; oldest first
  show ID                   one of them in full
  retry ID                  try it again, under the same idempotency key
  retry --name N | --all    try again all of a name, or all
  discard ID --reason TEXT  delete it; it is never performed`,
  path: "/effects/dead",
  filter: "name",
  remove: ["discard", "discarded"],
  retried: ["is tried again", (count) => `${count} effects are tried again`],
  none: "no effect is dead",
  columns: ["NAME", "ENQUEUED", "TRIES", "RETRIES", "ERROR"],
  row: ({ name, enqueuedAt, attempts, retries, error }) => [
    ...[name, enqueuedAt, String(attempts), String(retries), error],
  ],
  details: ({ input, actions, ...effect }) => {
    const facts = Object.entries(effect).map(([name, fact]) => `${name}: ${fact}`);
    const lines = [...facts, ...actionLines(actions), "", JSON.stringify(input, null, 2)];
    return lines.join("\n");
  },
});
