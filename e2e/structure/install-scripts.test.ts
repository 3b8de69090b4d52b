import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

const manifest: unknown = await Bun.file(
  fileURLToPath(new URL("../../package.json", import.meta.url)),
).json();

test("no dependency runs a script when it is installed", () => {
  // Without the empty list, Bun runs those of packages on a list of its own: one of them reports each installation.
  expect(manifest).toMatchObject({ trustedDependencies: [] });
});
