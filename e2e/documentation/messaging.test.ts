import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { freePorts } from "@distributed-messaging/supervisor/ports";

/* Holds docs/messaging.md true: its code is taken out of the page and run, its numbers are compared with the code. */

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/messaging.md"), "utf8");

/** The code of the page that says which file it is. */
const files = new Map(
  [...page.matchAll(/^```ts file=(\S+)\n(.*?)^```$/gms)].map(([, name = "", code = ""]) => [name, code]),
);

describe("a service of your own", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "parcels-"));
    // As in a workspace, where the packages' names lead to their folders.
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    for (const [name, code] of files) writeFileSync(join(folder, name), code);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function run(command: readonly string[]): Promise<{ exitCode: number; output: string }> {
    const child = Bun.spawn([...command], { cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, output: stdout + stderr };
  }

  test("goes from an empty folder to a tested handler in under 60 lines", async () => {
    const tested = ["contracts.ts", "service.ts", "service.test.ts"];
    const lines = tested.flatMap((name) => (files.get(name) ?? "").trimEnd().split("\n"));
    expect([...files.keys()]).toEqual([...tested, "main.ts"]);
    expect(lines.length).toBeLessThan(60);
    const { exitCode, output } = await run([process.execPath, "test"]);
    expect(output).toContain("1 pass");
    expect(exitCode).toBe(0);
  });

  test("is well typed", async () => {
    const options = { extends: join(root, "tsconfig.json"), include: [join(folder, "*.ts")] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    expect(await run([process.execPath, tsc, "--noEmit", "-p", folder])).toEqual({ exitCode: 0, output: "" });
  }, 120_000);

  test("runs over Kafka, accepts while the broker is away, and stops in good order", async () => {
    const [brokerPort = 0, port = 0] = freePorts(2);
    const url = `http://localhost:${port}/parcels`;
    const child = Bun.spawn([process.execPath, "main.ts"], {
      cwd: folder,
      env: { ...process.env, KAFKA_BROKERS: `127.0.0.1:${brokerPort}`, PORT: String(port) },
      stdio: ["ignore", "inherit", "inherit"],
    });
    try {
      const parcel = { parcelId: "P1", grams: 500 };
      const post = (body: object) => fetch(url, { method: "POST", body: JSON.stringify(body) });
      await eventuallyEqual(202, async () => (await post(parcel)).status);
      expect((await post({ ...parcel, grams: 0 })).status).toBe(422);
      const dataDir = join(folder, "broker");
      const broker = await startBroker({ dataDir, host: "127.0.0.1", port: brokerPort });
      try {
        await eventuallyEqual([{ parcel_id: "P1", grams: 500 }], async () => (await fetch(url)).json());
        child.kill("SIGTERM");
        expect(await child.exited).toBe(0);
      } finally {
        await broker.stop();
      }
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  }, 60_000);
});

/** Asks until the answer is this one. What throws is asked again: the process may be just starting. */
async function eventuallyEqual<Answer>(expected: Answer, ask: () => Promise<Answer>): Promise<void> {
  const deadline = performance.now() + 45_000;
  for (;;) {
    const answer = await ask().catch((error: unknown) => error);
    if (Bun.deepEquals(answer, expected)) return;
    if (performance.now() > deadline) throw new Error(`the last answer was ${Bun.inspect(answer)}`);
    await Bun.sleep(20);
  }
}

describe("bounds", () => {
  const UNITS: Readonly<Record<string, number>> = {
    KiB: 1024,
    MiB: 1024 ** 2,
    ms: 1,
    s: 1_000,
    days: 24 * 60 * 60 * 1_000,
  };
  const rows = [...page.matchAll(/^\| [^|]+ \| (\d+) ?(\w*) +\| `(\S+)` `(\w+)` +\|/gm)];

  test("are all of the table", () => {
    const table = /^### Bounds$.*?^(\| what .*?)\n\n/ms.exec(page)?.[1] ?? "";
    expect(rows.length).toBe(table.split("\n").length - 2);
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map(([, amount, unit, file, name]) => [file, name, amount, unit] as const))(
    "%s %s is %s %s",
    (file = "", name = "", amount = "", unit = "") => {
      const source = readFileSync(join(root, "shared", file), "utf8");
      expect(valueIn(source, name)).toBe(Number(amount) * (UNITS[unit] ?? 1));
    },
  );
});

/** The number that a source gives a name: `NAME = 8 * 1024`, `name: 8 * 1024`, or its `default:`. */
function valueIn(source: string, name: string): number {
  const product = "[\\d_]+(?: \\* [\\d_A-Z]+)*";
  const text = new RegExp(`\\b${name}(?: =|:)(?: Type\\..*?default:)? (${product})`).exec(source)?.[1];
  if (text === undefined) throw new Error(`${name} is not given a number`);
  const factors = text.split(" * ").map((factor) => {
    return /^[A-Z]/.test(factor) ? valueIn(source, factor) : Number(factor.replaceAll("_", ""));
  });
  return factors.reduce((result, factor) => result * factor, 1);
}
