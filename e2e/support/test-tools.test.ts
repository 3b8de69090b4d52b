import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTool, provideTools, type TestTool } from "./test-tools.ts";

const folder = mkdtempSync(join(tmpdir(), "test-tools-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
/** A directory that holds these shell scripts. */
function programs(texts: Readonly<Record<string, string>>): string {
  count += 1;
  const path = join(folder, String(count));
  mkdirSync(path);
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(path, name), 0o755);
  }
  return path;
}

const tool: TestTool = {
  title: "Lens",
  setting: "LENS_PATH",
  names: ["lens", "lens-browser"],
  versionArgument: "--version",
  debianPackage: "lens",
  neededBy: "the tests with a lens",
};

function provide(one: TestTool, env: Record<string, string>) {
  const said: string[] = [];
  return provideTools([one], env, (line) => said.push(line)).then(([found]) => ({ ...found, said }));
}

test("finds the first program on PATH that runs", async () => {
  const broken = programs({ lens: "echo 'libfocus.so is missing' >&2; exit 127" });
  const works = programs({ "lens-browser": "exit 0" });
  expect(await findTool(tool, { PATH: `${broken}:${works}` })).toEqual({
    tool,
    path: join(works, "lens-browser"),
  });
});

test("finds the program that the setting names, and no other", async () => {
  const PATH = programs({ lens: "exit 0" });
  const named = join(programs({ mine: "exit 0" }), "mine");
  expect(await findTool(tool, { PATH, LENS_PATH: named })).toEqual({ tool, path: named });
  expect(await provide(tool, { PATH, LENS_PATH: "/nowhere/lens" })).toMatchObject({
    path: undefined,
    problem: "LENS_PATH=/nowhere/lens does not run",
  });
});

test("downloads the program when it cannot be installed, or reports why it is missing", async () => {
  const PATH = programs({});
  const without = await provide(tool, { PATH });
  expect(without).toMatchObject({ path: undefined, said: [] });
  expect(without.problem).toContain("only root can install");
  const downloaded = await provide({ ...tool, download: async () => "/downloaded/lens" }, { PATH });
  expect(downloaded).toMatchObject({ path: "/downloaded/lens", said: ["downloading Lens into .tools"] });
  const offline = await provide(
    { ...tool, download: () => Promise.reject(new Error("no network")) },
    { PATH },
  );
  expect(offline.problem).toEndWith("; no network");
});

test.skipIf(process.getuid?.() !== 0)("as root, it installs Debian's package", async () => {
  const bin = programs({});
  const log = join(folder, "apt.log");
  const apt = `echo "$DEBIAN_FRONTEND $*" >> "${log}"
case $* in *install*lens*) printf '#!/bin/sh\\n' > "${bin}/lens"; /bin/chmod +x "${bin}/lens" ;; esac`;
  const PATH = `${bin}:${programs({ "apt-get": apt })}`;
  const found = await provide(tool, { PATH });
  expect(found).toMatchObject({ path: join(bin, "lens"), said: ["installing Lens (Debian packages)"] });
  expect(await Bun.file(log).text()).toMatch(
    /^noninteractive .* update\nnoninteractive .* install -y .* lens\n$/,
  );
});

test.skipIf(process.getuid?.() !== 0)("reports why apt-get failed", async () => {
  const PATH = programs({ "apt-get": "echo 'Reading…'; echo 'E: Unable to locate package lens'; exit 100" });
  expect((await provide(tool, { PATH })).problem).toBe("E: Unable to locate package lens");
});
