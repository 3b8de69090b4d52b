import { errorText } from "@distributed-messaging/messaging";
import { ensureSigningKeyFile } from "@distributed-messaging/service/signing-key";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";

const USAGE = `usage: bun scripts/signing-key.ts FILE

Creates a file with a new key that signs tokens, a private Ed25519 JWK, unless there is one: AUTH_SIGNING_KEY_FILE of several
gateways with the demo sign-in. compose.yaml runs it before the gateways of a cluster.`;

await runCommand("signing-key", USAGE, async (args) => {
  const { positionals } = parseOptions(args, {}, 1);
  const [file] = positionals;
  if (file === undefined) throw new UsageError("expected a file");
  try {
    await ensureSigningKeyFile(file);
  } catch (error) {
    throw new CommandFailed(`${file} cannot be created: ${errorText(error)}`);
  }
  return 0;
});
