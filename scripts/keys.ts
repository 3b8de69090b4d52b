import type { ShownSigningKey } from "@distributed-messaging/api-gateway/sessions";
import { AdminClient, flag, required, TOKEN_USAGE, text } from "./command/admin.ts";
import { noMore, parseOptions, runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run keys -- <command> [options]

  list          the gateway's keys: the one that signs, those that only verify, and those that are withdrawn
  rotate        sign with a new key from now on; tokens of the former one are valid until they expire
  withdraw ID   end the validity of every token of a key, at once and for good

${TOKEN_USAGE}

HOST, API_GATEWAY_PORT and DATA_DIR come from the environment, as for npm start.`;

/** An RFC 7638 thumbprint: a SHA-256 in base64url. */
const KEY_ID = /^[\w-]{43}$/;

async function main(args: readonly string[]): Promise<number> {
  // An id may begin with a dash, as an option does.
  const ids = args.filter((arg) => KEY_ID.test(arg));
  const others = args.filter((arg) => !KEY_ID.test(arg));
  const { values, positionals } = parseOptions(others, { token: text, json: flag }, 2);
  const [command, ...operands] = [...positionals, ...ids];
  if (command === undefined) throw new UsageError("expected a command: list, rotate or withdraw");
  noMore(operands, command === "withdraw" ? 1 : 0);
  const admin = new AdminClient("keys", values);
  const ask = <Body>(method: string, path: string, status: number) =>
    admin.ask<Body>("api-gateway", method, `/signing-keys${path}`, status);
  switch (command) {
    case "list": {
      const keys = await ask<ShownSigningKey[]>("GET", "", 200);
      admin.print(keys, listing(keys));
      return 0;
    }
    case "rotate": {
      const answer = await ask<{ keyId: string }>("POST", "/rotate", 201);
      admin.print(answer, `${answer.keyId} signs from now on`);
      return 0;
    }
    case "withdraw": {
      const keyId = required(operands[0], command, "the id of a key");
      if (!KEY_ID.test(keyId)) throw new UsageError(`'${keyId}' is not the id of a key; list shows them`);
      const keys = await ask<ShownSigningKey[]>("POST", `/${encodeURIComponent(keyId)}/withdraw`, 200);
      const current = keys.find(({ state }) => state === "current");
      admin.print(keys, `${keyId} is withdrawn; ${current?.keyId} signs`);
      return 0;
    }
    default:
      throw new UsageError(`unknown command ${command}; the commands are list, rotate and withdraw`);
  }
}

function listing(keys: readonly ShownSigningKey[]): string {
  const rows = keys.map(({ keyId, state, createdAt, verifiesUntil }) => [
    ...[keyId, state, createdAt, verifiesUntil ?? ""],
  ]);
  return table(["ID", "STATE", "CREATED", "VERIFIES UNTIL"], rows);
}

await runCommand("keys", USAGE, main);
