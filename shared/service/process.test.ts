import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = import.meta.dir;
const started: { kill(signal: number): void; exited: Promise<number> }[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill(9);
    await child.exited;
  }
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** Runs a main function in a process of its own. */
function run(main: string, env: Record<string, string> = {}, options = "{}") {
  const directory = mkdtempSync(join(tmpdir(), "run-"));
  directories.push(directory);
  const file = join(directory, "main.ts");
  writeFileSync(
    file,
    `import { runProcess } from "${here}/process.ts";
     import { openStorage } from "${here}/storage.ts";
     import { loadConfig, commonSettings, Port } from "${here}/config.ts";
     import { createHttpApp, listen } from "${here}/http/app.ts";
     import { createMetrics } from "${here}/telemetry/metrics.ts";
     await runProcess("order", async ({ env, log, lifecycle }) => { ${main} }, ${options});`,
  );
  const child = Bun.spawn([process.execPath, file], {
    cwd: here,
    env: { PATH: process.env.PATH ?? "", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  started.push(child);
  const stderr = new Response(child.stderr).text();
  const out = lineReader(child.stdout);
  return {
    child,
    out,
    result: async () => ({ code: await child.exited, stderr: await stderr, lines: await out.rest() }),
  };
}

interface Line {
  level: string;
  msg: string;
  port?: number;
}

function lineReader(stream: ReadableStream<Uint8Array>) {
  const lines: Line[] = [];
  let wake = () => {};
  const done = (async () => {
    let buffer = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      buffer += decoder.decode(chunk, { stream: true });
      const parts = buffer.split("\n");
      buffer = parts.pop() ?? "";
      for (const part of parts) lines.push(JSON.parse(part));
      wake();
    }
  })();
  return {
    /** Resolves to the line with this message. */
    async wait(msg: string): Promise<Line> {
      for (;;) {
        const line = lines.find((candidate) => candidate.msg === msg);
        if (line !== undefined) return line;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    rest: () => done.then(() => lines),
  };
}

const SERVE = `
  const app = createHttpApp({ app: "order", log, metrics: createMetrics("order") });
  app.get("/slow", async () => { log.info("slow"); await Bun.sleep(300); return "finished"; });
  app.get("/never", async () => { log.info("never"); await new Promise(() => {}); });
  lifecycle.add("database", { stop: () => log.info("database stopped") });
  const server = await listen(app, { host: "127.0.0.1", port: 0, setting: "ORDER_PORT" });
  lifecycle.add("http", server);
`;

describe("a process that cannot start", () => {
  test("because of its settings writes a line for each of them", async () => {
    const main = `loadConfig((await import("@sinclair/typebox")).Type.Object({ ...commonSettings, ORDER_PORT: Port(1) }), env, "order");`;
    const { code, stderr, lines } = await run(main, { ORDER_PORT: "abc", LOG_LEVEL: "loud" }).result();
    expect(code).toBe(1);
    expect(stderr).toBe(
      "order: LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, got 'loud'\n" +
        "order: ORDER_PORT: expected an integer from 0 to 65535, got 'abc'\n",
    );
    expect(lines).toEqual([]);
  });

  test("because of a taken port writes one line, and stops the parts that are running", async () => {
    const taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const { port } = taken;
    const main = SERVE.replace("port: 0", `port: ${port}`);
    const { code, stderr, lines } = await run(main).result();
    await taken.stop(true);
    expect(code).toBe(1);
    expect(stderr).toBe(`order: port ${port} on 127.0.0.1 is taken (ORDER_PORT)\n`);
    expect(lines.map(({ msg }) => msg)).toEqual(["database stopped"]);
  });

  test("because of its data directory writes one line", async () => {
    const { code, stderr } = await run(
      `openStorage({ name: "order", migrations: [] }, { DATA_DIR: "/proc/nothing" }, lifecycle, { log });`,
    ).result();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^order: DATA_DIR: files cannot be written in '\/proc\/nothing' \(\w+\)\n$/);
  });

  test("because of an unexpected error writes one line, and the stack at debug only", async () => {
    const main = `throw new Error("what\\nis this");`;
    const quiet = await run(main).result();
    expect(quiet).toEqual({ code: 1, stderr: "order: could not start: what is this\n", lines: [] });
    const loud = await run(main, { LOG_LEVEL: "debug" }).result();
    expect(JSON.stringify(loud.lines)).toContain("main.ts");
  });
});

describe("a running process", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "finishes its requests on %s and exits with 0",
    async (signal) => {
      const { child, out, result } = run(`${SERVE} return { port: server.port };`);
      const { port } = await out.wait("ready");
      const slow = fetch(`http://127.0.0.1:${port}/slow`);
      await out.wait("slow");
      child.kill(signal);
      expect(await (await slow).text()).toBe("finished");
      const { code, stderr, lines } = await result();
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(lines.map(({ msg }) => msg)).toEqual(["ready", "slow", "stopping", "database stopped"]);
    },
  );

  test("names the parts that did not stop in time and exits with 1", async () => {
    const main = `lifecycle.add("relay", { stop: () => new Promise(() => {}) }); ${SERVE} return { port: server.port };`;
    const { child, out, result } = run(main, {}, "{ stopDeadlineMs: 100 }");
    const { port } = await out.wait("ready");
    fetch(`http://127.0.0.1:${port}/never`).catch(() => {});
    await out.wait("never");
    child.kill("SIGTERM");
    const { code, stderr } = await result();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^order: did not stop in time: .*relay\n$/);
  });

  test("drains before its parts are stopped, and answers meanwhile", async () => {
    const main = `${SERVE}
      lifecycle.drain = async () => {
        log.info("draining");
        await new Promise((resolve) => app.get("/drained", () => { resolve(); return "drained"; }));
        log.info("drained");
      };
      return { port: server.port };`;
    const { child, out, result } = run(main);
    const { port } = await out.wait("ready");
    child.kill("SIGTERM");
    await out.wait("draining");
    const answer = await fetch(`http://127.0.0.1:${port}/drained`);
    expect([answer.status, await answer.text()]).toEqual([200, "drained"]);
    const { code, stderr, lines } = await result();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(lines.map(({ msg }) => msg).slice(1)).toEqual([
      ...["stopping", "draining", "drained", "database stopped"],
    ]);
  });

  test("exits immediately on a second signal while it drains", async () => {
    const main = `${SERVE} lifecycle.drain = () => new Promise(() => log.info("draining")); return {};`;
    const { child, out, result } = run(main);
    await out.wait("ready");
    child.kill("SIGTERM");
    await out.wait("draining");
    child.kill("SIGTERM");
    expect((await result()).code).toBe(1);
  });

  test("exits immediately on a second signal", async () => {
    const { child, out, result } = run(
      `${SERVE} lifecycle.add("relay", { stop: () => { log.info("hanging"); return new Promise(() => {}); } });
       return { port: server.port };`,
      {},
      "{ stopDeadlineMs: 1_000_000 }",
    );
    await out.wait("ready");
    child.kill("SIGTERM");
    await out.wait("hanging");
    child.kill("SIGTERM");
    expect((await result()).code).toBe(1);
  });

  test.each([
    ["exception", `setTimeout(() => { throw new Error("lost") }, 1);`, "uncaught exception: lost"],
    [
      "rejection",
      `setTimeout(() => { void Promise.reject(new Error("lost")) }, 1);`,
      "unhandled rejection: lost",
    ],
  ])("with an uncaught %s logs it, stops in order and exits with 1", async (_what, fault, message) => {
    const { code, lines } = await run(`${SERVE} ${fault} return { port: server.port };`).result();
    expect(code).toBe(1);
    const fatal = lines.find(({ level }) => level === "fatal");
    expect(fatal?.msg).toBe(message);
    expect(lines.at(-1)?.msg).toBe("database stopped");
  });

  test("that gets a signal during its start stops", async () => {
    const main = `${SERVE} log.info("starting"); await Bun.sleep(1_000_000); return {};`;
    const { child, out, result } = run(main);
    await out.wait("starting");
    child.kill("SIGTERM");
    const { code, stderr, lines } = await result();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(lines.map(({ msg }) => msg)).not.toContain("ready");
  });
});
