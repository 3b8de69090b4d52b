import { StartFailed } from "@distributed-messaging/supervisor/process-spec";
import { DataDirError } from "../start/data-dir.ts";
import { UsageError } from "../start/settings.ts";

/**
 * Runs the main function of a command. What the user can do something about comes out as its lines on standard
 * error, exit code 1, no stack; anything else is a defect, and keeps its stack.
 */
export async function runCommand(name: string, main: () => Promise<number>): Promise<never> {
  try {
    process.exit(await main());
  } catch (error) {
    const expected = [UsageError, DataDirError, StartFailed].some((kind) => error instanceof kind);
    if (!(expected && error instanceof Error)) throw error;
    for (const line of error.message.split("\n")) process.stderr.write(`${name}: ${line}\n`);
    process.exit(1);
  }
}
