import { statSync } from "node:fs";
import { dirname } from "node:path";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { errorText, escapeInvisible } from "@distributed-messaging/messaging";
import { ConfigError } from "@distributed-messaging/service/config";
import { StartError } from "@distributed-messaging/service/errors";
import { StartFailed } from "@distributed-messaging/supervisor/process";

/** The call is wrong: an argument is unknown, missing or has a wrong value. Nothing was done. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What was requested cannot be done. The message has one line for each reason. Exit code 1. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
}

/** The errors whose message is for the user. Any other error is a defect, and is shown with its stack. */
const EXPECTED = [UsageError, CommandFailed, ConfigError, StartError, StartFailed];

/**
 * Runs a command and ends the process with its exit code: 2 after a UsageError, 1 after another error. A command reads
 * its arguments before it does anything. `--help` prints the usage instead.
 *
 * @param main called with the arguments
 * @param ownOf the arguments among which `--help` is for this command, and not for one that it runs
 */
export async function runCommand(
  name: string,
  usage: string,
  main: (args: string[]) => Promise<number>,
  ownOf: (args: readonly string[]) => readonly string[] = (args) => args,
): Promise<never> {
  const args = process.argv.slice(2);
  if (ownOf(args).some((arg) => arg === "--help" || arg === "-h")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    process.exit(await main(args));
  } catch (error) {
    if (!(error instanceof Error && EXPECTED.some((kind) => error instanceof kind))) throw error;
    const isUsage = error instanceof UsageError;
    const hint = isUsage ? ` (for help: bun run ${name} --help)` : "";
    for (const line of error.message.split("\n")) {
      process.stderr.write(escapeInvisible(`${name}: ${line}${hint}\n`));
    }
    process.exit(isUsage ? 2 : 1);
  }
}

/**
 * util.parseArgs() for a command.
 *
 * @param mostOperands how many arguments it takes beside its options
 * @throws UsageError
 */
export function parseOptions<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  mostOperands = 0,
) {
  const parsed = parse(args, options);
  noMore(parsed.positionals, mostOperands);
  return parsed;
}

function parse<const Options extends ParseArgsOptionsConfig>(args: readonly string[], options: Options) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // The first sentence names the argument; the others explain how to quote it.
    throw new UsageError(errorText(error).split(". ")[0]);
  }
}

/** @throws UsageError when there are more than this many */
export function noMore(operands: readonly string[], most: number): void {
  const extra = operands[most];
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
}

/** @throws UsageError unless the text is a whole number, which is not less than `least` */
export function wholeNumber(what: string, text: string, least = 0): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least) return value;
  throw new UsageError(`${what} must be a whole number${least > 0 ? ` from ${least}` : ""}, got '${text}'`);
}

/** @throws UsageError unless the text is a number above 0 */
export function positiveNumber(what: string, text: string): number {
  const value = /^\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0) return value;
  throw new UsageError(`${what} must be a number above 0, got '${text}'`);
}

/** Before work whose result is written there. @throws UsageError unless it is a file, or could become one */
export function requireWritableFile(option: string, path: string): void {
  const isFolder = (name: string) => statSync(name, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isFolder(dirname(path)) && !isFolder(path)) return;
  throw new UsageError(`${option}: '${path}' is no file in a folder that exists`);
}

/** Lines of columns, each as wide as its widest cell; the last column is not padded. Cells are escaped. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows.map((row) => row.map(escapeInvisible))];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
