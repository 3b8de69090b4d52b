import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/* What the documentation names exists: files and folders in code spans, and the targets of links. */

const root = fileURLToPath(new URL("../..", import.meta.url));
const topLevel = ["docs", "e2e", "redpanda", "scripts", "services", "shared"];

const pages = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md"].filter((page) => existsSync(join(root, page))),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join("docs", file)),
].sort();

/** Paths from the root that a page gives as code: `shared/messaging/unit-of-work.ts`. Patterns are left out. */
function namedPaths(text: string): string[] {
  const spans = [...text.replace(/^```.*?^```/gms, "").matchAll(/`([^`\s]+)`/g)].map(([, span = ""]) => span);
  return spans.filter((span) => topLevel.includes(span.split("/")[0] ?? "") && /^[\w./-]+$/.test(span));
}

function linkedFiles(page: string, text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, target = ""]) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target)).map((target) => join(dirname(page), target));
}

test.each(pages)("%s names files that exist", (page) => {
  const text = readFileSync(join(root, page), "utf8");
  const missing = [...namedPaths(text), ...linkedFiles(page, text)].filter(
    (path) => !existsSync(join(root, path)),
  );
  expect(missing).toEqual([]);
});

test("the routes in docs/architecture.md have at most 5 and 9 files", () => {
  const text = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const [, request = "", message = ""] =
    /^## The route of one order$(.*?)^From there(.*?)^## /ms.exec(text) ?? [];
  const files = (part: string) =>
    [...part.matchAll(/^\| *\d+ *\| *`([^`]+)` *\|/gm)].map(([, file = ""]) => file);
  expect(files(request)).toHaveLength(5);
  expect(files(message)).toHaveLength(9);
  for (const route of [files(request), files(message)]) expect(new Set(route).size).toBe(route.length);
});

test("each decision record has a number of its own, and its heading has the same", () => {
  const folder = join(root, "docs/decisions");
  const files = readdirSync(folder).filter((file) => file.endsWith(".md"));
  const numbers = files.map((file) => Number(file.slice(0, 4)));
  expect(new Set(numbers).size).toBe(files.length);
  const headings = files.map((file) => /^# (\d+)\. /.exec(readFileSync(join(folder, file), "utf8"))?.[1]);
  expect(headings.map(Number)).toEqual(numbers);
});
