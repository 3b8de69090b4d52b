import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { Glob } from "bun";
import { billOf, cycloneDx } from "./bill.ts";

const components = billOf(ROOT);
const document = cycloneDx(ROOT);
const find = (wanted: string) => components.find(({ name }) => name === wanted);

/** The schema of CycloneDX as the library of its authors has it. */
function schema(name: string): object {
  const file = join(
    ROOT,
    "node_modules/@cyclonedx/cyclonedx-library/res/schema",
    `${name}.SNAPSHOT.schema.json`,
  );
  return JSON.parse(readFileSync(file, "utf8"));
}

function validator() {
  const ajv = new Ajv({ strict: false, formats: { "idn-email": true, "iri-reference": true } });
  addFormats.default(ajv);
  for (const name of ["spdx", "jsf-0.82"]) {
    ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  }
  return ajv.compile(schema("bom-1.6"));
}

slowTest("the bill of materials is valid CycloneDX 1.6", () => {
  const validate = validator();
  validate(document);
  expect(validate.errors).toBeNull();
  validate({ ...document, components: [{ type: "library", name: "x", scope: "sometimes" }] });
  expect(validate.errors).not.toBeNull();
});

test("it is the same each time", () => {
  expect(JSON.stringify(cycloneDx(ROOT))).toBe(JSON.stringify(document));
});

describe("it has", () => {
  test("the packages of the project and what they depend on, directly or not", () => {
    expect(find("@distributed-messaging/service")).toMatchObject({ own: true, scope: "required" });
    expect(find("@distributed-messaging/service")?.dependencies).toEqual(
      expect.arrayContaining([expect.stringMatching(/^jose@/), expect.stringMatching(/^elysia@/)]),
    );
    expect(find("sonic-boom")).toMatchObject({ own: false, scope: "required" });
    expect(find("playwright-core")).toMatchObject({ scope: "excluded" });
  });

  test("nothing that only development needs", () => {
    for (const name of ["@biomejs/biome", "fast-check", "@cyclonedx/cyclonedx-library"]) {
      expect(find(name)).toBeUndefined();
    }
  });

  test("the hash of each download, and every dependency as a component", () => {
    const refs = new Set(components.map(({ name, version }) => `${name}@${version}`));
    expect(refs.size).toBe(components.length);
    for (const { own, sha512, dependencies } of components) {
      if (!own) expect(sha512).toMatch(/^[0-9a-f]{128}$/);
      for (const dependency of dependencies) expect(refs).toContain(dependency);
    }
  });
});

test.skipIf(process.env.SLOW_TESTS !== "true")(
  "what is required is what the container image has",
  async () => {
    const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8").replaceAll("\\\n", "");
    const [, command = ""] = /^RUN (bun install .*)$/m.exec(dockerfile) ?? [];
    const folder = mkdtempSync(join(tmpdir(), "image-"));
    try {
      const manifests = [
        ...new Glob("{shared,services,redpanda,e2e,scripts}/**/package.json").scanSync(ROOT),
      ];
      for (const file of [...manifests, "package.json", "bun.lock", "bunfig.toml"]) {
        if (file.includes("node_modules/")) continue;
        mkdirSync(dirname(join(folder, file)), { recursive: true });
        copyFileSync(join(ROOT, file), join(folder, file));
      }
      const install = Bun.spawn(["/bin/sh", "-c", command], {
        cwd: folder,
        env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
        stdout: "ignore",
        stderr: "ignore",
      });
      expect(await install.exited).toBe(0);
      const installed = readdirSync(join(folder, "node_modules"))
        .flatMap((name) =>
          name.startsWith("@")
            ? readdirSync(join(folder, "node_modules", name)).map((part) => `${name}/${part}`)
            : [name],
        )
        .filter((name) => !name.startsWith("."));
      const required = components.filter(({ scope }) => scope === "required").map(({ name }) => name);
      expect(installed.sort()).toEqual(required.sort());
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  300_000,
);

/** Permissive ones. A package under another licence needs a decision. */
const ALLOWED = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "CC0-1.0"];
/** What is never part of the store may be used under these too. */
const ALLOWED_FOR_TOOLS = [...ALLOWED, "MPL-2.0"];

test.each(components.map(({ name, version, licence, scope }) => [name, version, licence, scope] as const))(
  "%s %s has a licence that is allowed: %s",
  (_name, version, licence, scope) => {
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    expect(scope === "required" ? ALLOWED : ALLOWED_FOR_TOOLS).toContain(licence);
  },
);
