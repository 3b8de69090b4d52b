import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { buildGoModule, buildPythonEnvironment } from "../clients/toolchains.ts";
import { runToEnd } from "../support/run-to-end.ts";

/** The tools are built once, which takes minutes, and need Go and Python. */
export const canRender =
  process.env.SLOW_TESTS === "true" && Bun.which("go") !== null && Bun.which("python3") !== null;

/** The version whose schemas the manifests must match. */
const KUBERNETES = "1.37";

/** A manifest of Kubernetes, as far as the tests read it. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: the schemas of Kubernetes say what is in it, and `schemaFaults` checks that.
  readonly spec?: any;
  readonly data?: Readonly<Record<string, string>>;
}

/**
 * What Docker Compose makes of files, by its own library.
 *
 * @param env the variables, beside those of `envFile`
 * @throws with its words when it refuses them
 */
export async function composeProject(
  files: readonly string[],
  {
    envFile = "",
    env = {},
  }: { readonly envFile?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<ComposeProject> {
  return JSON.parse(await render(["compose", envFile, ...files], env)) as ComposeProject;
}

export interface ComposeProject {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly environment?: Readonly<Record<string, string>>;
        readonly depends_on?: Readonly<Record<string, { readonly required: boolean }>>;
        readonly secrets?: readonly { readonly source: string }[];
        readonly volumes?: readonly { readonly type: string; readonly source: string }[];
      }
    >
  >;
  readonly secrets?: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** What `kubectl apply -k` sends, by Kustomize's own library: as text, and parsed. */
export async function kustomized(folder: string): Promise<{ text: string; manifests: readonly Manifest[] }> {
  const text = await render(["kustomize", folder]);
  return { text, manifests: Bun.YAML.parse(text) as Manifest[] };
}

/** The lines of the validator that are about a fault: an unknown field, a wrong type, a missing value. */
export async function schemaFaults(file: string): Promise<string[]> {
  const python = await buildPythonEnvironment(join(import.meta.dir, "requirements.txt"));
  const command = [python, "-m", "kubernetes_validate", "--strict", "--kubernetes-version", KUBERNETES, file];
  const { stdout, stderr, exitCode } = await runToEnd(command, { cwd: ROOT, env: {} });
  const lines = (stdout + stderr).trim().split("\n");
  const faults = lines.filter((line) => !/ passed for resource .* against version /.test(line));
  if (exitCode !== 0 && faults.length === 0) throw new Error(`it ended with exit code ${exitCode}`);
  if (lines.length === faults.length && exitCode === 0) throw new Error("it has looked at nothing");
  return faults;
}

async function render(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const program = await buildGoModule(join(import.meta.dir, "renderer"));
  const { stdout, stderr, exitCode } = await runToEnd([program, ...args], { cwd: ROOT, env });
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}
