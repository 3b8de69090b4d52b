import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { OutsideFolder, type PackageName, packages } from "./installed.ts";

/* What the packages contain. That they work is in tutorial.test.ts, service.test.ts and embedded-broker.test.ts. */

const outside = new OutsideFolder();
const names = Object.keys(packages) as PackageName[];
const contents = new Map<PackageName, readonly string[]>();

beforeAll(async () => {
  for (const name of names) {
    const list = await outside.run(["tar", "-tzf", await outside.pack(name)], outside.path);
    contents.set(
      name,
      list
        .trim()
        .split("\n")
        .map((path) => path.replace(/^package\//, "")),
    );
  }
}, 60_000);
afterAll(() => outside.remove());

test.each(names)(
  "%s contains its sources and documents, and neither its tests nor their fixtures",
  (name) => {
    const files = contents.get(name) ?? [];
    expect(files).toEqual(expect.arrayContaining(["README.md", "LICENSE", "package.json"]));
    const strange = files.filter(
      (path) =>
        !/\.ts$|\.json$|^dist\/\w+\.js$|^\w[\w-]*\.sh$|^(README|UNSUPPORTED)\.md$|^LICENSE$/.test(path),
    );
    expect(strange).toEqual([]);
    expect(
      files.filter((path) => /\.test\.ts$|bench|testing\/kit|dead-letter-fixture|node_modules/.test(path)),
    ).toEqual([]);
  },
);

test.each(names)("%s exports named files, all of which it contains", (name) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, packages[name], "package.json"), "utf8"));
  expect(manifest.private).toBeUndefined();
  const files = contents.get(name) ?? [];
  const targets = Object.values<string | Record<string, string>>(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  for (const target of [...targets, ...Object.values<string>(manifest.bin ?? {})]) {
    const path = target.replace(/^\.\//, "");
    if (path === "schemas/*.json") expect(files.some((file) => new Bun.Glob(path).match(file))).toBe(true);
    else expect(files).toContain(path);
  }
});

test.each(names)(
  "%s names no dependency of the workspace, and carries the licence of the repository",
  (name) => {
    const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
    const { dependencies = {}, peerDependencies = {} } = JSON.parse(read(`${packages[name]}/package.json`));
    expect(JSON.stringify({ dependencies, peerDependencies })).not.toContain("workspace:");
    expect(read(`${packages[name]}/LICENSE`)).toBe(read("LICENSE"));
  },
);
