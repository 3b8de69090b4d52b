import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { runbook } from "./runbook.ts";

const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
/** What is above the settings: what to do. */
const doing = page.slice(0, page.indexOf("\n## Sizes\n"));

test("each block of commands of docs/operations.md is run by a drill", () => {
  const drills = readdirSync(import.meta.dir)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(import.meta.dir, file), "utf8"));
  const followed = new Set(
    [...drills.join("\n").matchAll(/\.follow\(\s*"([^"]+)",\s*(\d+)/g)].map(
      ([, name, at]) => `${name} ${at}`,
    ),
  );
  const written = [...runbook()]
    .filter(([heading]) => doing.includes(`# ${heading}\n`))
    .flatMap(([heading, blocks]) => blocks.map((_, index) => `${heading} ${index + 1}`));
  expect([...followed].sort()).toEqual(written.sort());
});

test("each command that docs/operations.md names is one", () => {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  const named = [...page.matchAll(/\bbun run ([a-z][\w-]*)/g)].map(([, name = ""]) => name);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

const RULES = join(ROOT, "deploy/observe/alerts.yaml");
test.skipIf(!existsSync(RULES))("each alert has its section, and each section is that of an alert", () => {
  const alerts = [...readFileSync(RULES, "utf8").matchAll(/^\s*- alert: *(\w+)/gm)].map(([, name]) => name);
  const chapter = /^## Alerts$([\s\S]*?)^## /m.exec(page)?.[1] ?? "";
  const sections = [...chapter.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  expect(sections.toSorted()).toEqual([...new Set(alerts)].toSorted());
});
