import type { ShownParked, ShownParkedDetails } from "@distributed-messaging/service/outbox";
import { actionLines } from "./command/admin.ts";
import { runParkedCommand } from "./command/parked.ts";

await runParkedCommand<ShownParked, ShownParkedDetails>({
  name: "outbox",
  commands: `  list                     outgoing messages that the broker refuses, oldest first
  show ID                  one of them in full
  retry ID                 send it again, and the later ones of its topic and key
  retry --topic T | --all  send again all of a topic, or all
  drop ID --reason TEXT    delete it; it is never sent, and the later ones of its key are`,
  path: "/outbox/parked",
  filter: "topic",
  remove: ["drop", "dropped"],
  retried: [
    "is sent again, and the later ones of its key",
    (count) => `messages of ${count} keys are sent again`,
  ],
  none: "no message is parked",
  columns: ["SINCE", "REASON", "TOPIC", "KEY", "BYTES", "ERROR"],
  row: ({ parkedAt, reason, topic, key, bytes, error }) => [
    ...[parkedAt, reason, topic, key ?? "(none)", String(bytes), error],
  ],
  details: ({ value, headers, actions, ...record }) => {
    const facts = Object.entries(record).map(([name, fact]) => `${name}: ${fact ?? "(none)"}`);
    const content = value === null ? "(none)" : Buffer.from(value.base64, "base64").toString();
    const lines = [...facts, `headers: ${JSON.stringify(headers)}`, ...actionLines(actions), "", content];
    return lines.join("\n");
  },
});
