import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { slowTest } from "../support/slow-test.ts";
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
/** The service with several instances. */
const [[, replicated = ""] = []] = page.matchAll(/^```ts replicated=replicated\.ts\n(.*?)^```$/gms);
const tested = ["contracts.ts", "service.ts", "service.test.ts"];

const outside = new OutsideFolder();
const folder = join(outside.path, "parcels");

beforeAll(async () => {
  await Promise.all([outside.pack("messaging"), outside.pack("embedded-broker")]);
  const install = /^```sh install\n(.*?)^```$/ms.exec(page)?.[1] ?? "exit 1";
  await outside.run(["/bin/sh", "-e", "-c", install], outside.path);
  for (const [name, code] of [...files, ["replicated.ts", replicated]]) {
    writeFileSync(join(folder, name ?? ""), code ?? "");
  }
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

slowTest(
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
  "made highly available by one line, it goes on when the machine that leads is lost",
  async () => {
    const ports = freePorts(3);
    const brokerPort = ports[2] ?? 0;
    const instances = [0, 1].map((index) => ({
      port: ports[index] ?? 0,
      database: `parcels-${index}.sqlite`,
    }));
    const start = ({ port, database }: (typeof instances)[number]) =>
      Bun.spawn([process.execPath, "replicated.ts"], {
        cwd: folder,
        env: outside.env({
          KAFKA_BROKERS: `localhost:${brokerPort}`,
          PORT: String(port),
          DATABASE: database,
        }),
        stdio: ["ignore", "ignore", "inherit"],
      });
    const broker = Bun.spawn([process.execPath, "x", "embedded-broker", "--in-memory"], {
      cwd: folder,
      env: outside.env({ BROKER_PORT: String(brokerPort) }),
      stdio: ["ignore", "ignore", "inherit"],
    });
    const processes = instances.map(start);
    const serves = (port: number) =>
      fetch(`http://localhost:${port}/parcels`).then(
        () => true,
        () => false,
      );
    const leader = () =>
      eventually(async () => {
        for (const [index, { port }] of instances.entries()) if (await serves(port)) return { index, port };
        return undefined;
      }, "an instance leads");
    const accepted: string[] = [];
    const post = async (port: number, parcelId: string) => {
      const body = JSON.stringify({ parcelId, grams: 500 });
      expect((await fetch(`http://localhost:${port}/parcels`, { method: "POST", body })).status).toBe(202);
      accepted.push(parcelId);
    };
    const stored = (name: string) => {
      using database = new Database(join(folder, name), { readonly: true });
      const rows = database
        .query<{ id: string }, []>("SELECT parcel_id AS id FROM parcels ORDER BY id")
        .all();
      return rows.map(({ id }) => id);
    };
    try {
      const first = await leader();
      for (let number = 0; number < 20; number += 1) await post(first.port, `P1${number}`);
      const lost = processes[first.index];
      lost?.kill("SIGKILL");
      await lost?.exited;
      for (const suffix of ["", "-wal", "-shm"]) {
        rmSync(join(folder, `${instances[first.index]?.database}${suffix}`), { force: true });
      }
      const second = await leader();
      expect(second.index).toBe(1 - first.index);
      for (let number = 0; number < 20; number += 1) await post(second.port, `P2${number}`);
      const again = instances[first.index];
      if (again !== undefined) processes[first.index] = start(again);
      const names = instances.map(({ database }) => database);
      const expected = accepted.toSorted();
      await eventually(() => {
        expect(names.map(stored)).toEqual([expected, expected]);
        return true;
      }, "both have every parcel, once");
      processes[second.index]?.kill("SIGTERM");
      expect(await processes[second.index]?.exited).toBe(0);
      expect((await leader()).index).toBe(first.index);
    } finally {
      for (const child of processes) child.kill("SIGKILL");
      // Its command starts another process, which ends with it.
      broker.kill("SIGTERM");
      await Promise.all([...processes, broker].map(({ exited }) => exited));
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
