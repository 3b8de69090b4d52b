import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { optionsIn, SETTINGS_FILE, settingsText } from "./document.ts";
import { otherSettings, readByBroker } from "./other-settings.ts";

const text = await settingsText();
const documented = [...text.matchAll(/^\| `([A-Z][A-Z0-9_]+)` /gm)].map(([, name = ""]) => name);

/** Environment variables that are no settings of the project, or that its processes give each other. */
const NOT_SETTINGS: Readonly<Record<string, string>> = {
  PATH: "of the system",
  TMPDIR: "of the system",
  BUN_INSTALL_CACHE_DIR: "of Bun",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: "of Bun",
  BUN_TEST_WORKER_ID: "of Bun",
  NODE_TLS_REJECT_UNAUTHORIZED: "of Bun",
  E2E_RUNNING: "of test-e2e-local to the tests",
  LOAD: "of bench to its load generator",
  PROCESSES_LOCK: "of the supervisor to its processes",
  RECORDED_ACTIONS: "of a test to the process that it watches",
  FLOOR_SERVICE: "of bench to a process of the floor",
  PORT: "of bench to a process of the floor",
  WITH_ISSUER: "of the gateway to the bundle of its page",
  FAKE_PORT: "of a test to the process that it starts",
  FAKE_JOURNAL: "of a test to the process that it starts",
  FAKE_NAME: "of a test to the process that it starts",
  FAKE_EXIT: "of a test to the process that it starts",
  FAKE_LINES: "of a test to the process that it starts",
  FAKE_STUBBORN: "of a test to the process that it starts",
  LENS_PATH: "of a tool that a test makes up",
  MUTANT: "of a test to the process that it starts",
};

test("docs/settings.md is up to date", () => {
  const written = readFileSync(join(ROOT, SETTINGS_FILE), "utf8");
  if (written !== text) throw new Error(`${SETTINGS_FILE} is out of date: bun run settings`);
});

test("each setting has one row", () => {
  expect(documented.length).toBeGreaterThan(60);
  expect(documented.filter((name, index) => documented.indexOf(name) !== index)).toEqual([]);
});

test("each environment variable that a source reads has a row, or is none of the project's settings", () => {
  const files = new Bun.Glob("{e2e,redpanda,scripts,services,shared}/**/*.{ts,tsx}").scanSync({ cwd: ROOT });
  const read = new Map<string, string>();
  for (const file of files) {
    if (file.includes("node_modules/")) continue;
    const source = readFileSync(join(ROOT, file), "utf8");
    for (const [, name = ""] of source.matchAll(/\benv\??\.([A-Z][A-Z0-9_]+)/g)) read.set(name, file);
    for (const [, names = ""] of source.matchAll(/\{([^{}]+)\} = (?:process\.)?env\b/g)) {
      for (const [name] of names.matchAll(/\b[A-Z][A-Z0-9_]+\b/g)) read.set(name, file);
    }
    for (const [, listed, asked] of source.matchAll(
      /^ +setting: "([A-Z][A-Z0-9_]+)",$|\bsetting\("([A-Z][A-Z0-9_]+)"\)/gm,
    )) {
      read.set(listed ?? asked ?? "", file);
    }
  }
  const known = [...documented, ...Object.keys(NOT_SETTINGS)];
  expect([...read].filter(([name]) => !known.includes(name))).toEqual([]);
  // What nothing reads any more has no row.
  expect(Object.keys(NOT_SETTINGS).filter((name) => !read.has(name))).toEqual([]);
  expect(otherSettings.filter(({ name }) => !read.has(name)).map(({ name }) => name)).toEqual([]);
});

test("the embedded broker reads the settings that the document says, and no others", () => {
  const source = readFileSync(join(ROOT, "redpanda/embedded/settings.ts"), "utf8");
  const read = [...source.matchAll(/\benv\.([A-Z_]+)|choose\("[a-z-]+", "([A-Z_]+)"/g)];
  const own = otherSettings.filter(({ readBy }) => readBy === "broker").map(({ name }) => name);
  expect([...new Set(read.map(([, direct, chosen]) => direct ?? chosen ?? ""))].sort()).toEqual(
    [...readByBroker, ...own].sort(),
  );
});

describe("optionsIn", () => {
  const source = (...lines: string[]) => `export interface Options {\n${lines.join("\n")}\n}\n`;

  test("reads names, types, defaults and meanings", () => {
    const lines = [
      "  /** What it is. */",
      "  readonly one: string;",
      "  /**",
      "   * Of two",
      "   * lines.",
      "   *",
      "   * @defaultValue 3",
      "   */",
      "  readonly two?: number | undefined;",
    ];
    expect(optionsIn(source(...lines), "Options")).toEqual([
      { name: "one", type: "string", isRequired: true, meaning: "What it is", default: "" },
      {
        name: "two",
        type: "number | undefined",
        isRequired: false,
        meaning: "Of two lines",
        default: "3",
      },
    ]);
  });

  test.each([
    ["without a comment", ["  readonly one: string;"], "Options.one has no description"],
    ["without a default", ["  /** One. */", "  readonly one?: string;"], "Options.one has no @defaultValue"],
    ["that are none", [], "Options has no options"],
  ])("refuses options %s", (_, lines, reason) => {
    expect(() => optionsIn(source(...lines), "Options")).toThrow(reason);
  });
});
