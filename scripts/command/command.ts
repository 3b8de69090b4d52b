import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { errorText, escapeInvisible } from "@distributed-messaging/messaging";
import { ConfigError } from "@distributed-messaging/service/config";
import { StartError } from "@distributed-messaging/service/errors";
import { StartFailed } from "@distributed-messaging/supervisor/process";

/** The command cannot do what was requested. The message has one line for each reason. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** An option, a command or an argument that is not known: exit code 2, as of other programs. */
export class UnknownArgument extends UsageError {}

/** The errors whose message is for the user. Any other error is a defect, and is shown with its stack. */
const EXPECTED = [UsageError, ConfigError, StartError, StartFailed];

/**
 * Runs a command and ends the process with its exit code: 1 after an error, 2 after an argument that it does not know.
 * `--help` prints the usage instead. A command calls parseOptions() before it does anything.
 *
 * @param main called with the arguments
 */
export async function runCommand(
  name: string,
  usage: string,
  main: (args: string[]) => Promise<number>,
): Promise<never> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    process.exit(await main(args));
  } catch (error) {
    if (!(error instanceof Error && EXPECTED.some((kind) => error instanceof kind))) throw error;
    const isUnknown = error instanceof UnknownArgument;
    const hint = isUnknown ? ` (for help: bun run ${name} --help)` : "";
    for (const line of error.message.split("\n")) {
      process.stderr.write(escapeInvisible(`${name}: ${line}${hint}\n`));
    }
    process.exit(isUnknown ? 2 : 1);
  }
}

/**
 * util.parseArgs() for a command.
 *
 * @param mostOperands how many arguments it takes beside its options
 * @throws UnknownArgument
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
    throw new UnknownArgument(errorText(error).split(". ")[0]);
  }
}

/** @throws UnknownArgument when there are more than this many */
export function noMore(operands: readonly string[], most: number): void {
  const extra = operands[most];
  if (extra !== undefined) throw new UnknownArgument(`unexpected argument '${extra}'`);
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
