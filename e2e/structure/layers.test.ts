import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findWrongImports } from "./imports.ts";
import { drawing, layers } from "./layers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The TypeScript files and the manifests of the repository, without what is installed or built. */
function repository(): Map<string, string> {
  const folders = ["shared", "services", "redpanda", "e2e", "scripts"];
  const paths = folders.flatMap((folder) =>
    [...new Bun.Glob(`${folder}/**/*`).scanSync({ cwd: ROOT })].filter(
      (path) => /\.tsx?$|\/package\.json$/.test(path) && !/node_modules\/|\/dist\//.test(path),
    ),
  );
  return new Map(["package.json", ...paths].map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

test("every import of the repository follows the table of layers", () => {
  const tree = repository();
  expect(tree.size).toBeGreaterThan(300);
  expect(findWrongImports(tree)).toEqual([]);
});

test("a row of the table names rows below it only", () => {
  for (const [index, { path, imports, types = [], tests = [] }] of layers.entries()) {
    const below = layers.slice(index + 1).map((row) => row.path);
    for (const name of [...imports, ...types, ...tests]) {
      const within = (part: string) => name === part || name.startsWith(`${part}/`);
      const row = layers.map((one) => one.path).findLast(within) ?? "services/*";
      expect({ path, below }).toEqual({ path, below: expect.arrayContaining([row]) });
    }
  }
});

test("CONTRIBUTING.md shows the table", () => {
  const text = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
  if (!text.includes(drawing())) throw new Error(`CONTRIBUTING.md should contain:\n${drawing()}`);
});

describe("findWrongImports", () => {
  const manifest = (name: string, ...dependencies: string[]) =>
    JSON.stringify({
      name: `@store/${name}`,
      exports: { ".": "./index.ts", "./*": "./*.ts" },
      dependencies: Object.fromEntries(dependencies.map((one) => [one, "1"])),
    });

  /** A small repository without a fault, except for these files. */
  function found(files: Readonly<Record<string, string>>): string[] {
    const sound = {
      "package.json": JSON.stringify({ name: "root", devDependencies: { "fast-check": "1" } }),
      "shared/messaging/package.json": manifest("messaging"),
      "shared/messaging/index.ts": "export const kit = 1;",
      "services/order/package.json": manifest("order", "@store/messaging"),
      "services/order/domain.ts": 'import { kit } from "@store/messaging"; export const order = kit;',
      "services/inventory/package.json": manifest("inventory", "@store/messaging"),
      "services/inventory/domain.ts": 'export * from "@store/messaging";',
      "services/supervisor/package.json": manifest("supervisor"),
      "services/supervisor/reports.ts": "export type Order = string; export const order = 1;",
      "services/web/package.json": manifest("web", "@store/supervisor"),
      "services/web/page.tsx":
        'import type { Order } from "@store/supervisor/reports"; export const page = <p />;',
    };
    return findWrongImports(new Map(Object.entries({ ...sound, ...files })));
  }

  test("finds nothing where nothing is wrong, nor in comments and texts", () => {
    expect(found({})).toEqual([]);
    const text = '// import "../../services/order/domain.ts"\nexport const text = `import "@store/order";`;';
    expect(found({ "shared/messaging/text.ts": text })).toEqual([]);
    expect(found({ "shared/messaging/main.ts": "#!/usr/bin/env bun\nimport './index.ts';" })).toEqual([]);
    const property = 'import fc from "fast-check"; import { test } from "bun:test"; test("", () => fc);';
    expect(found({ "services/order/domain.test.ts": property })).toEqual([]);
  });

  test.each([
    ["a static import", 'import { order } from "../../services/order/domain.ts"; order;'],
    ["an import of a type", 'import type { Order } from "../../services/order/domain.ts";'],
    ["a type among values", 'import { type Order } from "../../services/order/domain.ts";'],
    ["a default type", 'import type Order from "../../services/order/domain.ts";'],
    ["a type within a type", `type Order = ${"import"}("../../services/order/domain.ts").Order;`],
    ["a re-export", 'export * from "../../services/order/domain.ts";'],
    ["a re-export of a type", 'export type { Order } from "../../services/order/domain.ts";'],
    ["a dynamic import", 'const order = await import("../../services/order/domain.ts");'],
    ["a bare import", 'import "../../services/order/domain.ts";'],
  ])("upwards: %s", (_, source) => {
    expect(found({ "shared/messaging/wrong.ts": source })).toContain(
      "shared/messaging/wrong.ts imports services/order/domain.ts: shared/messaging may not import services/order",
    );
  });

  test("from one service to another, and by a path instead of the package's name", () => {
    expect(found({ "services/order/wrong.ts": 'import "../inventory/domain.ts";' })).toEqual([
      "services/order/wrong.ts imports services/inventory/domain.ts by its path: it is another package",
      "services/order/wrong.ts imports services/inventory/domain.ts: services/order may not import services/inventory",
    ]);
  });

  test("values where only types may be imported", () => {
    const source = 'import { order } from "@store/supervisor/reports"; export const page = order;';
    expect(found({ "services/web/page.tsx": source })).toEqual([
      "services/web/page.tsx imports more than types from services/supervisor (services/supervisor/reports.ts)",
    ]);
  });

  test("a file of a part of which another file may be imported", () => {
    const files = {
      "services/web/package.json": manifest("web", "@store/supervisor", "@store/messaging"),
      "services/web/text.ts":
        'export * from "@store/messaging/visible-text"; export * from "@store/messaging";',
      "shared/messaging/visible-text.ts": "export const visible = 1;",
    };
    expect(found(files)).toEqual([
      "services/web/text.ts imports shared/messaging/index.ts: services/web may not import shared/messaging",
    ]);
  });

  test("against the order within a service, also through a file that has no place in it", () => {
    const files = {
      "services/order/store.ts": 'import "./row.ts";',
      "services/order/row.ts": 'import type { Handler } from "./handlers.ts";',
      "services/order/handlers.ts": "export interface Handler { readonly type: string }",
    };
    expect(found(files)).toEqual([
      expect.stringMatching(
        /^services\/order\/store\.ts reaches services\/order\/handlers\.ts by .*row\.ts:/,
      ),
    ]);
  });

  test("a cycle of files, of types alone", () => {
    const files = {
      "services/order/a.ts": 'import type { B } from "./b.ts"; export type A = B;',
      "services/order/b.ts": 'import type { A } from "./a.ts"; export type B = A;',
    };
    expect(found(files)).toEqual([
      "services/order/a.ts → services/order/b.ts → services/order/a.ts: a cycle, one of those among 2 files",
    ]);
  });

  test("a Kafka client outside the Kafka transport", () => {
    const files = {
      "services/order/package.json": manifest("order", "@store/messaging", "kafkajs"),
      "services/order/broker.ts": 'import { Kafka } from "kafkajs"; Kafka;',
    };
    expect(found(files)).toEqual([
      "services/order/broker.ts imports kafkajs: only shared/messaging/transport/kafka/ and scripts/bench/floor/ may",
    ]);
  });

  test("what a package.json does not declare, declares in vain, or does not export", () => {
    const files = {
      "services/order/package.json": manifest("order", "elysia"),
      "services/order/more.ts": 'import "@store/messaging/missing"; import "fast-check";',
    };
    expect(found(files)).toEqual([
      "services/order/domain.ts imports @store/messaging, which services/order/package.json does not declare",
      "services/order/more.ts imports @store/messaging/missing, which shared/messaging/package.json does not export",
      "services/order/more.ts imports fast-check, which services/order/package.json does not declare",
      "services/order/package.json declares elysia, which no file of it imports",
    ]);
  });
});
