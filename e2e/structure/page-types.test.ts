import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { runsSlowTests } from "../support/slow-test.ts";

/* The page has no types of its own for what the services answer: it does not compile after an answer has changed. */

const WORKSPACES = "@distributed-messaging";
const TIMEOUT_MS = 120_000;

/** A member of an answer, and the text of the service that gives it its name. */
const changes = [
  {
    member: "updatedAt",
    file: "services/api-gateway/answers.ts",
    from: "  updatedAt: Time",
    to: "  changed: Time",
  },
  {
    member: "message",
    file: "services/notification/store.ts",
    from: "readonly message:",
    to: "readonly text:",
  },
  {
    member: "lineLength",
    file: "shared/service/admin/dead-letters.ts",
    from: "lineLength: parkedOfKey",
    to: "line: parkedOfKey",
  },
] as const;

describe.skipIf(!runsSlowTests)("the page's types", () => {
  let copy: string;

  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), "page-types-"));
    for (const folder of ["services", "shared"])
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
    const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, "tsconfig.json"), "utf8"));
    const config = { compilerOptions, include: ["services/web", "services/sql.d.ts"] };
    writeFileSync(join(copy, "tsconfig.json"), JSON.stringify(config));
    const modules = join(copy, "node_modules");
    mkdirSync(join(modules, WORKSPACES), { recursive: true });
    for (const name of readdirSync(join(ROOT, "node_modules"))) {
      if (name !== WORKSPACES) symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
    }
    // Of the packages of this repository, the copies.
    for (const folder of ["shared", "services"]) {
      for (const name of readdirSync(join(copy, folder), { withFileTypes: true })) {
        if (name.isDirectory())
          symlinkSync(join(copy, folder, name.name), join(modules, WORKSPACES, name.name));
      }
    }
  });

  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  /** The errors of the compiler in files of the page. */
  function errorsOfPage(): string[] {
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { stdout } = Bun.spawnSync([process.execPath, tsc, "--noEmit", "--pretty", "false"], { cwd: copy });
    return stdout
      .toString()
      .split("\n")
      .filter((line) => line.startsWith("services/web/"));
  }

  test(
    "an answer that changes breaks the page's compile",
    () => {
      expect(errorsOfPage()).toEqual([]);
      for (const { file, from, to } of changes) {
        const text = readFileSync(join(copy, file), "utf8");
        expect(text).toContain(from);
        writeFileSync(join(copy, file), text.replaceAll(from, to));
      }
      const errors = errorsOfPage();
      for (const { member } of changes) {
        expect(errors).toContainEqual(expect.stringContaining(`'${member}' does not exist`));
      }
    },
    TIMEOUT_MS,
  );
});
