import { readFileSync } from "node:fs";
import { errorText } from "@distributed-messaging/messaging";

/** The settings of a secret: its own, and that of its name and `_FILE`, a file that has it. */
type SecretSettings<Name extends string> = { readonly [Setting in Name | `${Name}_FILE`]?: unknown };

/**
 * A secret that is set, or the content of the file that is, without the line break at its end. It is read anew for each
 * call, and then throws Error as `readSetting` does.
 */
export function secretOf<Name extends string>(
  config: SecretSettings<Name>,
  name: Name,
): (() => string) | undefined {
  const { [name]: value, [`${name}_FILE` as const]: file } = config;
  if (typeof value === "string") return () => value;
  return typeof file === "string" ? () => readSetting(`${name}_FILE`, file).replace(/\r?\n$/, "") : undefined;
}

/**
 * A line for each secret that is set twice, whose file has none, or that is refused.
 *
 * @param check throws Error whose message is to follow the name of the setting, and shows nothing of the secret
 */
export function secretProblems<Name extends string>(
  config: SecretSettings<Name>,
  names: readonly Name[],
  check: (secret: string) => unknown = () => {},
): string[] {
  return names.flatMap((name) => {
    const { [name]: value, [`${name}_FILE` as const]: file } = config;
    if (value !== undefined && file !== undefined) return [`${name}_FILE: is set, but ${name} is, too`];
    const secret = secretOf(config, name);
    if (secret === undefined) return [];
    return problemsOf(file === undefined ? name : `${name}_FILE`, () => {
      const text = secret();
      if (text === "") throw new Error("is empty");
      check(text);
    });
  });
}

/** The line of a setting for which a check throws, which may begin with its name. */
export function problemsOf(setting: string, check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    const text = errorText(error);
    return [text.startsWith(`${setting}: `) ? text : `${setting}: ${text}`];
  }
}

/**
 * The content of the file that a setting names.
 *
 * @throws Error that names the setting and why its file cannot be read. It does not show the value: where a file is
 *   expected, people put the secret itself.
 */
export function readSetting(setting: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(
      `${setting}: there is no file that can be read (${codeOf(error)}); the value is not shown`,
    );
  }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : errorText(error);
}
