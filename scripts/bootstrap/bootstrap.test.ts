import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Finished } from "@distributed-messaging/e2e/support/run-to-end";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { BootstrapFolder } from "./clone.ts";
import { registryOf } from "./registry.ts";

const folder = new BootstrapFolder();
afterAll(() => folder.remove());

const VERSION =
  /^BUN_VERSION=(.+)$/m.exec(readFileSync(join(ROOT, "scripts/bootstrap.sh"), "utf8"))?.[1] ?? "";
const DOWNLOAD_TIMEOUT_MS = 180_000;

/** A fake Bun of some version, which installs nothing and prints its arguments. */
const fakeBun = (version: string, installs = true) => `
case $1 in
--version) echo ${version} ;;
install) ${installs ? "mkdir -p node_modules" : "echo 'error: ConnectionRefused downloading ms' >&2; exit 1"} ;;
add) echo 'error: ConnectionRefused downloading bun' >&2; exit 1 ;;
*) echo "Bun ${version}:" "$@" ;;
esac`;

/** A fake npm that installs packages of Bun for two platforms, of which the second one runs here. */
const fakeNpm = `
echo called >> "$NPM_CALLS"
for platform in alien here; do
  mkdir -p "node_modules/@oven/bun-$platform/bin"
  cp "$FAKE_BUN_FOLDER/$platform" "node_modules/@oven/bun-$platform/bin/bun"
done`;

/** Ends at once; its second call, after which the first line is written, creates a file. */
const fakeSleep = `
if [ -e "$SLEEPS" ]; then : > "$SLEEPS.again"; exec /bin/sleep 10; fi
: > "$SLEEPS"`;
/** An installation that lasts until that file is there. */
const slowBun = `
case $1 in
--version) echo ${VERSION} ;;
install) until [ -e "$SLEEPS.again" ]; do /bin/sleep 0.05; done; mkdir -p node_modules ;;
*) echo done ;;
esac`;

test("an installation that takes long says every ten seconds that it goes on", async () => {
  const clone = folder.clone();
  const bin = folder.programs({ bun: slowBun, sleep: fakeSleep });
  expect(await clone.run([bin], { env: { SLEEPS: join(bin, "sleeps") } })).toEqual({
    exitCode: 0,
    stdout: "done\n",
    stderr:
      "bootstrap: installing the dependencies\nbootstrap: still installing the dependencies, for 10 s\n",
  });
});

const offlineNpm =
  "echo 'npm error code ENOTFOUND' >&2; echo 'npm error A complete log is in: x' >&2; exit 1";

function npmWithBun() {
  const calls = join(folder.programs({}), "calls");
  const bun = folder.programs({ alien: "exit 126", here: fakeBun(VERSION) });
  return {
    npm: folder.programs({ npm: fakeNpm }),
    env: { NPM_CALLS: calls, FAKE_BUN_FOLDER: bun },
    calls: () => readFileSync(calls, "utf8").trim().split("\n").length,
  };
}

/** What a run said, without the lines of a download that takes long. */
function withoutWaits(run: Finished): Finished {
  return { ...run, stderr: run.stderr.replace(/^bootstrap: still .*\n/gm, "") };
}

const npmProgram = Bun.which("npm");
const nodeProgram = Bun.which("node");

test.skipIf(npmProgram === null || nodeProgram === null)(
  "npm and no Bun: installs the pinned Bun and the dependencies, once, into the project only",
  async () => {
    const clone = folder.clone();
    const bin = folder.links({ npm: npmProgram ?? "", node: nodeProgram ?? "", sh: "/bin/sh" });
    const command = [join(bin, "npm"), "run", "--silent", "hello", "--", "a b"];
    const first = await clone.run([bin], { command, env: await registryOf(npmProgram) });
    expect(withoutWaits(first)).toEqual({
      exitCode: 0,
      stdout: "hello 1m a b\n",
      stderr: `bootstrap: installing Bun ${VERSION} into .tools\nbootstrap: installing the dependencies\n`,
    });
    // Without npm, so without a network.
    const second = await clone.run([folder.links({})]);
    expect(second).toEqual({ exitCode: 0, stdout: "hello 1m a b\n", stderr: "" });
    expect(readdirSync(clone.home)).toEqual([]);
  },
  DOWNLOAD_TIMEOUT_MS,
);

test(
  "Bun and neither npm nor node: bun run sets up the dependencies",
  async () => {
    const clone = folder.clone();
    const bin = folder.links({ bun: process.execPath });
    const command = [join(bin, "bun"), "run", "--silent", "hello", "x"];
    const first = await clone.run([bin], { command, env: await registryOf(npmProgram) });
    expect(withoutWaits(first)).toEqual({
      exitCode: 0,
      stdout: "hello 1m x\n",
      stderr: "bootstrap: installing the dependencies\n",
    });
    expect(await clone.run([bin], { command })).toEqual({ exitCode: 0, stdout: "hello 1m x\n", stderr: "" });
    expect(readdirSync(clone.home)).toEqual([]);
  },
  DOWNLOAD_TIMEOUT_MS,
);

slowTest("of the packages of several platforms, the one that runs is used", async () => {
  const { npm, env } = npmWithBun();
  const { stdout, exitCode } = await folder.clone().run([npm], { env });
  expect({ stdout, exitCode }).toEqual({ stdout: `Bun ${VERSION}: hello.ts a b\n`, exitCode: 0 });
});

test("a Bun of another version on PATH is not used", async () => {
  const { npm, env } = npmWithBun();
  const other = folder.programs({ bun: fakeBun("1.99.0") });
  const { stdout } = await folder.clone().run([other, npm], { env });
  expect(stdout).toBe(`Bun ${VERSION}: hello.ts a b\n`);
});

test("concurrent runs wait for each other and install once", async () => {
  const { npm, env, calls } = npmWithBun();
  const clone = folder.clone();
  const results = await Promise.all([1, 2, 3, 4].map(() => clone.run([npm], { env })));
  expect(results.map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual(
    Array(4).fill([0, `Bun ${VERSION}: hello.ts a b\n`]),
  );
  expect(calls()).toBe(1);
});

test("the lock of a run that was killed is taken over", async () => {
  const { npm, env } = npmWithBun();
  const clone = folder.clone();
  const dead = Bun.spawnSync(["/bin/sh", "-c", "echo $$"]).stdout.toString().trim();
  await clone.run([folder.programs({})]);
  symlinkSync(dead, join(clone.root, ".tools/lock"));
  const results = await Promise.all([1, 2, 3].map(() => clone.run([npm], { env })));
  expect(results.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
  expect(() => readlinkSync(join(clone.root, ".tools/lock"))).toThrow("ENOENT");
});

test("installs again when the lock file has changed", async () => {
  const clone = folder.clone();
  const bin = [folder.programs({ bun: fakeBun(VERSION) })];
  expect((await clone.run(bin)).stderr).toContain("installing the dependencies");
  expect((await clone.run(bin)).stderr).toBe("");
  clone.write("bun.lock", "{}");
  expect((await clone.run(bin)).stderr).toContain("installing the dependencies");
  expect((await clone.run(bin)).stderr).toBe("");
});

test("without a network it fails with one line and releases the lock", async () => {
  const clone = folder.clone();
  const result = await clone.run([folder.programs({ npm: offlineNpm })]);
  expect(result.exitCode).toBe(1);
  expect(result.stderr.trim().split("\n")).toEqual([
    `bootstrap: installing Bun ${VERSION} into .tools`,
    `bootstrap: cannot install Bun ${VERSION} (is there a network?): npm error code ENOTFOUND; more in .tools/bootstrap.log`,
  ]);
  expect(readdirSync(join(clone.root, ".tools")).toSorted()).toEqual(["bootstrap.log", "tmp"]);
});

test("without a network a Bun that is new enough is used, with a warning", async () => {
  const bun = fakeBun("1.99.0");
  for (const programs of [{ bun }, { bun, npm: offlineNpm }]) {
    const result = await folder.clone().run([folder.programs(programs)]);
    expect(result.stdout).toBe("Bun 1.99.0: hello.ts a b\n");
    expect(result.stderr).toContain("using version 1.99.0 from PATH, which is not tested");
  }
});

test("without a network a Bun that is too old is not used", async () => {
  const result = await folder.clone().run([folder.programs({ bun: fakeBun("1.3.9") })]);
  expect(result).toMatchObject({ exitCode: 1, stdout: "" });
  expect(result.stderr).toContain(`cannot install Bun ${VERSION}`);
});

test("dependencies that cannot be downloaded are one line, and are tried again", async () => {
  const clone = folder.clone();
  const offline = folder.programs({ bun: fakeBun(VERSION, false) });
  const result = await clone.run([offline]);
  expect(result).toMatchObject({ exitCode: 1, stdout: "" });
  expect(result.stderr.trim().split("\n").at(-1)).toBe(
    "bootstrap: cannot install the dependencies (is there a network?): error: ConnectionRefused downloading ms; more in .tools/bootstrap.log",
  );
  const online = folder.programs({ bun: fakeBun(VERSION) });
  expect((await clone.run([online])).exitCode).toBe(0);
});

test("with neither npm nor Bun it names what to install", async () => {
  const result = await folder.clone().run([folder.programs({})]);
  expect(result).toMatchObject({ exitCode: 1, stdout: "" });
  expect(result.stderr).toContain("neither npm nor Bun is on PATH");
});

test("Dockerfile and @types/bun have the pinned version", async () => {
  expect(VERSION).toMatch(/^\d+\.\d+\.\d+$/);
  const { devDependencies } = await Bun.file(join(ROOT, "package.json")).json();
  expect(devDependencies["@types/bun"]).toBe(VERSION);
  if (existsSync(join(ROOT, "Dockerfile"))) {
    expect(readFileSync(join(ROOT, "Dockerfile"), "utf8")).toContain(`oven/bun:${VERSION}`);
  }
});
