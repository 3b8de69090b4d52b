import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { OutsideFolder } from "./installed.ts";

/* The tutorial of docs/messaging.md, done as it says: outside of the repository, with the packed packages. */

/** Downloads, on a slow line. */
const LIMIT_MS = 180_000;
const page = readFileSync(join(ROOT, "docs/messaging.md"), "utf8");
/** The code of the page that names its file. */
const files = new Map(
  [...page.matchAll(/^```ts file=(\S+)\n(.*?)^```$/gms)].map(([, name = "", code = ""]) => [name, code]),
);
/** The example of effects. */
const example = [...page.matchAll(/^```ts example=(\S+)\n(.*?)^```$/gms)];
const tested = ["contracts.ts", "service.ts", "service.test.ts"];

const outside = new OutsideFolder();
const folder = join(outside.path, "parcels");

beforeAll(async () => {
  await Promise.all([outside.pack("messaging"), outside.pack("embedded-broker")]);
  const install = /^```sh install\n(.*?)^```$/ms.exec(page)?.[1] ?? "exit 1";
  await outside.run(["/bin/sh", "-e", "-c", install], outside.path);
  for (const [name, code] of files) writeFileSync(join(folder, name), code);
}, LIMIT_MS);
afterAll(() => outside.remove());

test("it leads from an empty folder to a tested handler in less than 60 lines", async () => {
  expect([...files.keys()]).toEqual([...tested, "main.ts"]);
  const lines = tested.flatMap((name) => (files.get(name) ?? "").trimEnd().split("\n"));
  expect(lines.length).toBeLessThan(60);
  expect(await outside.run([process.execPath, "test"], folder)).toContain("1 pass");
});

test("the example of effects works as it says", async () => {
  expect(example.map(([, name]) => name)).toEqual(["payments.ts", "payments.test.ts"]);
  for (const [, name = "", code = ""] of example) writeFileSync(join(folder, name), code);
  expect(await outside.run([process.execPath, "test", "payments.test.ts"], folder)).toContain("1 pass");
});

test(
  "it passes the type checks of bun init, and stricter ones",
  async () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const pinned = ["@types/bun", "typescript"].map((name) => `${name}@${devDependencies[name]}`);
    await outside.run([process.execPath, "add", "--dev", "--exact", ...pinned], folder);
    const compilerOptions = {
      exactOptionalPropertyTypes: true,
      erasableSyntaxOnly: true,
      noImplicitReturns: true,
      noPropertyAccessFromIndexSignature: true,
      noUncheckedSideEffectImports: true,
      noUnusedLocals: true,
      noUnusedParameters: true,
    };
    writeFileSync(
      join(folder, "tsconfig.strict.json"),
      JSON.stringify({ extends: "./tsconfig.json", compilerOptions, include: ["*.ts"] }),
    );
    for (const project of ["tsconfig.json", "tsconfig.strict.json"]) {
      await outside.run([process.execPath, "x", "tsc", "--project", project], folder);
    }
  },
  LIMIT_MS,
);

test(
  "it runs over Kafka, accepts while the broker is unavailable, and stops in good order",
  async () => {
    const [brokerPort = 0, port = 0] = freePorts(2);
    const url = `http://localhost:${port}/parcels`;
    const service = Bun.spawn([process.execPath, "main.ts"], {
      cwd: folder,
      env: outside.env({ KAFKA_BROKERS: `localhost:${brokerPort}`, PORT: String(port) }),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const log = new Response(service.stdout).text();
    const post = (body: object) => fetch(url, { method: "POST", body: JSON.stringify(body) });
    try {
      const parcel = { parcelId: "P1", grams: 500 };
      await eventually(async () => (await post(parcel)).status === 202, "the parcel is accepted");
      expect((await post({ ...parcel, grams: 0 })).status).toBe(422);
      const broker = Bun.spawn([process.execPath, "x", "embedded-broker"], {
        cwd: folder,
        env: outside.env({ BROKER_PORT: String(brokerPort) }),
        stdio: ["ignore", "ignore", "inherit"],
      });
      try {
        await eventually(async () => {
          expect(await (await fetch(url)).json()).toEqual([{ parcel_id: "P1", grams: 500 }]);
          return true;
        }, "the parcel is stored");
        service.kill("SIGTERM");
        expect(await service.exited).toBe(0);
        expect(await log).toContain('"msg":"stopped"');
      } finally {
        broker.kill("SIGTERM");
        expect(await broker.exited).toBe(0);
      }
    } finally {
      service.kill("SIGKILL");
      await service.exited;
    }
  },
  LIMIT_MS,
);
