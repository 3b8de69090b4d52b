import type { Statement } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as kit from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";

const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const readme = read("README.md");

describe("the README", () => {
  test("has its parts in this order, in less than 150 lines", () => {
    const parts = [...readme.matchAll(/^(?:# .+|## .+|!\[.*\.webp\)$)/gm)].map(([line]) => line);
    expect(parts[0]).toBe("# distributed-messaging");
    expect(parts[1]).toStartWith("![");
    expect(parts.slice(2)).toEqual([
      "## Run it",
      "## What to click",
      "## Seven promises",
      "## The kit in ten lines",
      "## Read on",
    ]);
    expect(readme.split("\n").length).toBeLessThan(150);
  });

  test("says what it is in three sentences", () => {
    const [, introduction = ""] = readme.split("\n\n");
    expect(introduction.match(/\.(?:\s|$)/g)).toHaveLength(3);
  });
});

describe("the kit in ten lines", () => {
  const folder = mkdtempSync(join(tmpdir(), "readme-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const [, code = ""] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];

  test("are ten", () => {
    expect(code.trim().split("\n")).toHaveLength(10);
  });

  test("store a parcel once, however often its message is delivered", async () => {
    const topic: kit.Topic = { name: "parcel.events", key: "id", partitions: 2, config: {} };
    const transport = new MemoryBroker([topic, kit.deadLetterTopic("parcels")], kit.systemRuntime);
    const known = {
      ...kit,
      Type,
      openDatabase: (name: string) => kit.openDatabase(join(folder, name)),
      event: { kind: "event", source: "parcels", topic },
      service: {
        service: "parcels",
        transport,
        deadLetterTopic: "parcels.dead-letters",
        runtime: kit.systemRuntime,
        log: kit.silentLogger,
      },
    };
    const names = Object.keys(known);
    const run = new Function(
      ...names,
      `return (async () => { ${code}\nreturn { database, insert, messaging }; })();`,
    );
    const made: { database: kit.ServiceDatabase; insert: Statement; messaging: kit.Messaging } = await run(
      ...Object.values(known),
    );
    const { database, messaging } = made;
    await eventually(() => messaging.consumer.counts.handled === 1);
    await transport.publish(transport.records("parcel.events"));
    await eventually(() => messaging.consumer.counts.duplicate === 1);
    expect(database.sql.query("SELECT * FROM parcels").all()).toEqual([{ id: "P1", grams: 500 }]);
    await messaging.stop();
    made.insert.finalize();
    database.close();
  });
});

describe("docs/index.md", () => {
  const index = read("docs/index.md");

  test("has a line for every document, and for every decision record by its title", () => {
    const documents = readdirSync(join(ROOT, "docs")).filter(
      // The figures and the chart of performance.md.
      (file) => /\.(md|json)$/.test(file) && !["index.md", "performance.json"].includes(file),
    );
    expect(documents.length).toBeGreaterThan(8);
    const lines = documents.filter((file) => !new RegExp(`^- \\[[^\\]]+\\]\\(${file}\\): `, "m").test(index));
    expect(lines).toEqual([]);
    const decisions = readdirSync(join(ROOT, "docs/decisions"))
      .sort()
      .map((file) => {
        const [, number, title] = /^# (\d+)\. (.+)$/m.exec(read(`docs/decisions/${file}`)) ?? [];
        return `- ${number} · [${title}](decisions/${file})`;
      });
    expect(index.split("\n").filter((line) => line.includes("](decisions/"))).toEqual(decisions);
  });
});

test("docs/commands.md has every script of package.json, and no other", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const cells = [...read("docs/commands.md").matchAll(/^\| (`.*?) +\|/gm)].map(([, cell = ""]) => cell);
  const listed = cells.flatMap((cell) => [...cell.matchAll(/`([\w-]+)`/g)].map(([, name = ""]) => name));
  expect(listed.sort()).toEqual(Object.keys(scripts).sort());
});
