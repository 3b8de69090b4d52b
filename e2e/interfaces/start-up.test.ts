import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireLock } from "@distributed-messaging/messaging";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { runToEnd } from "../support/run-to-end.ts";
import { runsSlowTests } from "../support/slow-test.ts";

/** No program here becomes ready; one that has not ended by then is killed, and its test fails. */
const END_LIMIT_MS = 45_000;
const LIMIT_MS = 60_000;

const dir = join(tmpdir(), `e2e-${crypto.randomUUID()}`);
mkdirSync(dir);
const file = join(dir, "file");
writeFileSync(file, "A regular file, not a directory.");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Program {
  readonly name: string;
  readonly entry: string;
  /** The settings of its address. */
  listenAt(host: string, port: number): Record<string, string>;
  /** An invalid value for every setting. */
  readonly wrong: Readonly<Record<string, string>>;
}

const programs: readonly Program[] = [
  {
    name: "broker",
    entry: join(ROOT, "redpanda/embedded/main.ts"),
    listenAt: (host, port) => ({ KAFKA_BROKERS: `${host}:${port}` }),
    wrong: { KAFKA_BROKERS: "nowhere", LOG_LEVEL: "loud", AUTO_CREATE_TOPICS: "maybe" },
  },
  ...serviceNames.map((name) => ({
    name,
    entry: join(ROOT, "services", name, "main.ts"),
    listenAt: (host: string, port: number) => ({ HOST: host, [services[name].setting]: String(port) }),
    wrong: {
      [services[name].setting]: "99999",
      HOST: "not a host",
      ALLOWED_HOSTS: "shop.example:8900",
      ALLOWED_ORIGINS: "shop.example",
      ALLOW_INSECURE: "everything",
      KAFKA_BROKERS: "nowhere",
      LOG_LEVEL: "loud",
      AUTOMATION_TESTING: "maybe",
      SQLITE_SYNCHRONOUS: "SOMETIMES",
      INBOX_RETENTION: "soon",
      OUTBOX_LIMIT: "-1",
      KAFKA_SASL_USERNAME: "half",
    },
  })),
];

/** Runs a program to its end, with these settings only. */
async function run({ entry, listenAt }: Program, env: Record<string, string>) {
  const [port = 0, brokerPort = 0] = freePorts(2);
  const { stdout, stderr, exitCode } = await runToEnd([process.execPath, entry], {
    env: {
      PATH: process.env.PATH ?? "",
      KAFKA_BROKERS: `127.0.0.1:${brokerPort}`,
      DATA_DIR: join(dir, crypto.randomUUID()),
      ...listenAt("127.0.0.1", port),
      ...env,
    },
    cwd: dir,
    timeoutMs: END_LIMIT_MS,
  });
  return { stdout, lines: stderr.split("\n").filter((line) => line !== ""), exitCode };
}

/** Runs a program that must end at once, with one line for each problem and nothing else. */
async function problemsOf(program: Program, env: Record<string, string>): Promise<string[]> {
  const { stdout, lines, exitCode } = await run(program, env);
  expect(exitCode).toBe(1);
  expect(stdout).not.toMatch(/^\s+at |"stack"|\\n\s+at /m);
  for (const line of lines) expect(line).not.toMatch(/^\s*at |\.ts:\d/);
  expect(lines[0]).toStartWith(`${program.name}: `);
  return lines;
}

describe.each(programs.map((program) => [program.name, program] as const))("%s", (_, program) => {
  test(
    "with a port in use",
    async () => {
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      try {
        const problems = await problemsOf(program, program.listenAt("127.0.0.1", taken.port));
        expect(problems).toHaveLength(1);
        expect(problems[0]).toContain(String(taken.port));
        expect(problems[0]).toMatch(/taken|in use/);
      } finally {
        taken.stop(true);
      }
    },
    LIMIT_MS,
  );

  test(
    "with an address of another machine",
    async () => {
      // TEST-NET-3 (RFC 5737): no machine has it.
      const problems = await problemsOf(program, program.listenAt("203.0.113.1", 9092));
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain("203.0.113.1");
    },
    LIMIT_MS,
  );

  test.each([
    ["under a regular file", join(file, "data")],
    ["that is a regular file", file],
  ])(
    "with a data directory %s",
    async (_, path) => {
      const problems = await problemsOf(program, { DATA_DIR: path });
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(/DATA_DIR|data directory/);
      expect(problems[0]).toContain(path);
    },
    LIMIT_MS,
  );

  test(
    "with a damaged data file",
    async () => {
      const path = join(dir, crypto.randomUUID());
      mkdirSync(path);
      const name = program.name === "broker" ? "broker" : `${program.name}.sqlite`;
      writeFileSync(join(path, name), "Not a file of the store.".repeat(200));
      const problems = await problemsOf(program, { DATA_DIR: path });
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain(path);
    },
    LIMIT_MS,
  );

  test(
    "with every setting invalid",
    async () => {
      const problems = await problemsOf(program, program.wrong);
      const half = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_PASSWORD"];
      const { KAFKA_SASL_USERNAME: isHalf, ...wrong } = program.wrong;
      const expected = [...Object.keys(wrong), ...(isHalf === undefined ? [] : half)];
      expect(problems).toHaveLength(expected.length);
      for (const name of expected) {
        const own = problems.filter((line) => line.includes(`${name}: `));
        expect({ name, lines: own.length }).toEqual({ name, lines: 1 });
        const value = program.wrong[name];
        if (value !== undefined) expect(own[0]).toContain(value);
      }
    },
    LIMIT_MS,
  );
});

const someOrAll = runsSlowTests ? programs : programs.slice(0, 2);
// At the same time, because each waits for the lock for some seconds before it gives up.
test.concurrent.each(someOrAll.map((program) => [program.name, program] as const))(
  "%s > with a data directory in use",
  async (_, program) => {
    const path = join(dir, crypto.randomUUID());
    const own = program.name === "broker" ? join(path, "broker") : path;
    mkdirSync(own, { recursive: true });
    const lock = acquireLock(join(own, `${program.name}.lock`));
    const problems = await problemsOf(program, { DATA_DIR: path });
    lock?.release();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(path);
    expect(problems[0]).toContain("another");
  },
  LIMIT_MS,
);
