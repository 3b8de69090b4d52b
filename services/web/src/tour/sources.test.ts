import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { code, tests } from "./sources.ts";

const root = new URL("../../../../", import.meta.url);

test.each(Object.entries(code))("the code %s is at its place", async (_, { path, text }) => {
  expect(path).not.toContain(".test.");
  const content = await Bun.file(fileURLToPath(new URL(path, root))).text();
  expect(content).toContain(text);
});

test.each(Object.entries(tests))("the test %s is at its place, by its name", async (_, { path, text }) => {
  expect(path).toEndWith(".test.ts");
  const names = [...(await Bun.file(fileURLToPath(new URL(path, root))).text()).matchAll(/["`](.+)["`]/g)];
  expect(names.map(([, name]) => name)).toContainEqual(expect.stringContaining(text));
});
