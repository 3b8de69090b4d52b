import { describe, expect, test } from "bun:test";
import { type TObject, Type } from "@sinclair/typebox";
import {
  ConfigError,
  commonSettings,
  Duration,
  durationToMs,
  instanceSettings,
  kafkaSettings,
  loadConfig,
  Port,
} from "./config.ts";
import { generateSigningKey } from "./signing-key.ts";

const Common = Type.Object(commonSettings);

function problemsOf(env: Record<string, string>, schema: TObject = Common): readonly string[] {
  try {
    loadConfig(schema, env, "test");
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("loadConfig", () => {
  test("uses the defaults of the common settings", () => {
    expect(loadConfig(Common, {}, "test")).toEqual({
      HOST: "127.0.0.1",
      ALLOWED_HOSTS: [],
      ALLOWED_ORIGINS: [],
      ALLOW_INSECURE: [],
      DATA_DIR: ".data",
      LOG_LEVEL: "info",
      DRAIN: 0,
      AUTOMATION_TESTING: false,
      SQLITE_SYNCHRONOUS: "FULL",
      INBOX_RETENTION: 7 * 24 * 3_600_000,
      GAPS: "stop",
      OUTBOX_LIMIT: 100_000,
      BROKER_PORT: 9092,
      KAFKA_BROKERS: ["localhost:9092"],
      NODE_ENV: "development",
      KAFKA_SSL: false,
      AUTH_ROLE_CLAIM: "role",
      AUTH_ADMIN_ROLE: "admin",
      OTEL_SDK_DISABLED: false,
    });
  });

  test("reads numbers, booleans, words, lists and durations", () => {
    const config = loadConfig(
      Type.Object({ ...commonSettings, ORDER_PORT: Port(8902), BACKORDER_TTL: Duration("24h") }),
      {
        ORDER_PORT: "0",
        BACKORDER_TTL: "500ms",
        AUTOMATION_TESTING: "true",
        SQLITE_SYNCHRONOUS: "NORMAL",
        KAFKA_BROKERS: "a.example:9092, [::1]:19092",
        KAFKA_SASL_MECHANISM: "scram-sha-256",
        KAFKA_SASL_USERNAME: "user",
        KAFKA_SASL_PASSWORD: "p,w = x",
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
      },
      "test",
    );
    expect(config).toMatchObject({
      ORDER_PORT: 0,
      BACKORDER_TTL: 500,
      AUTOMATION_TESTING: true,
      SQLITE_SYNCHRONOUS: "NORMAL",
      KAFKA_BROKERS: ["a.example:9092", "[::1]:19092"],
      KAFKA_SASL_PASSWORD: "p,w = x",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
    });
  });

  test("treats an empty variable as not set", () => {
    expect(loadConfig(Common, { HOST: "", KAFKA_SASL_USERNAME: "  " }, "test").HOST).toBe("127.0.0.1");
  });

  test("does not share default values between callers", () => {
    const first = loadConfig(Common, {}, "test");
    first.KAFKA_BROKERS.push("other:1");
    expect(loadConfig(Common, {}, "test").KAFKA_BROKERS).toEqual(["localhost:9092"]);
  });

  test("BROKER_PORT is the port of the broker, unless KAFKA_BROKERS names another", () => {
    const brokersWith = (env: Record<string, string>) => loadConfig(Common, env, "test").KAFKA_BROKERS;
    expect(brokersWith({ BROKER_PORT: "19092" })).toEqual(["localhost:19092"]);
    expect(brokersWith({ BROKER_PORT: "19092", KAFKA_BROKERS: "a:1" })).toEqual(["a:1"]);
    expect(problemsOf({ BROKER_PORT: "0" })).toEqual([
      "BROKER_PORT: 0 is a free port, which only the broker knows; set KAFKA_BROKERS",
    ]);
    expect(problemsOf({ BROKER_PORT: "0", KAFKA_BROKERS: "a:1" })).toEqual([]);
    expect(problemsOf({ BROKER_PORT: "x" })).toHaveLength(1);
  });

  test("reports every invalid setting, one line each", () => {
    const schema = Type.Object({ ...commonSettings, INVENTORY_PORT: Port(8901), NEEDED: Type.String() });
    const env = {
      INVENTORY_PORT: "abc",
      AUTOMATION_TESTING: "yes",
      INBOX_RETENTION: "a week",
      GAPS: "ignore",
      LOG_LEVEL: "loud",
      OUTBOX_LIMIT: "-1",
      KAFKA_BROKERS: "localhost",
    };
    expect(problemsOf(env, schema)).toEqual([
      "LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, got 'loud'",
      "AUTOMATION_TESTING: expected true or false, got 'yes'",
      "INBOX_RETENTION: expected a duration from 1m to 36525d, such as 500ms, 30s, 15m, 24h or 7d, got 'a week'",
      "GAPS: expected one of stop, continue, got 'ignore'",
      "OUTBOX_LIMIT: expected an integer from 1 to 1000000000, got '-1'",
      "KAFKA_BROKERS: expected a comma separated list, each host:port, got 'localhost'",
      "INVENTORY_PORT: expected an integer from 0 to 65535, got 'abc'",
      "NEEDED: is not set, test needs it",
    ]);
  });

  test.each(["65536", "-1", "1.5", "0x10", "1e3", "8 901", "NaN", "Infinity", "８９"])(
    "refuses port %p",
    (port) => {
      expect(problemsOf({ P: port }, Type.Object({ ...commonSettings, P: Port(1) }))).toHaveLength(1);
    },
  );

  test.each(["localhost:0", "localhost:65536", ":9092", "a b:1", "a:1,,b:2", "http://a:1", "a:1;b:2"])(
    "refuses broker list %p",
    (brokers) => expect(problemsOf({ KAFKA_BROKERS: brokers })).toHaveLength(1),
  );

  test("requires all of the SASL settings or none", () => {
    expect(problemsOf({ KAFKA_SASL_USERNAME: "u" })).toEqual([
      "KAFKA_SASL_MECHANISM: is not set, but KAFKA_SASL_USERNAME is",
      "KAFKA_SASL_PASSWORD: is not set, but KAFKA_SASL_USERNAME is",
    ]);
    expect(problemsOf({ KAFKA_SASL_MECHANISM: "plain", KAFKA_SASL_PASSWORD: "p" })).toEqual([
      "KAFKA_SASL_USERNAME: is not set, but KAFKA_SASL_MECHANISM and KAFKA_SASL_PASSWORD are",
    ]);
    expect(
      problemsOf({ KAFKA_SASL_MECHANISM: "gssapi", KAFKA_SASL_USERNAME: "u", KAFKA_SASL_PASSWORD: "p" }),
    ).toEqual([
      "KAFKA_SASL_MECHANISM: expected one of plain, scram-sha-256, scram-sha-512, oauthbearer, got 'gssapi'",
    ]);
  });

  test.each([
    ["ALLOWED_HOSTS", "shop.example:8900"],
    ["ALLOWED_HOSTS", "*"],
    ["ALLOWED_ORIGINS", "shop.example"],
    ["ALLOWED_ORIGINS", "https://shop.example/"],
    ["ALLOWED_ORIGINS", "*"],
    ["ALLOW_INSECURE", "true"],
  ])("refuses %s=%s", (name, value) => {
    expect(problemsOf({ [name]: value })).toEqual([expect.stringContaining(`got '${value}'`)]);
  });

  test("never shows a secret", () => {
    const schema = Type.Object({
      ...commonSettings,
      API_TOKEN: Type.String({ pattern: "^ok$" }),
      PASSPHRASE: Type.String({ pattern: "^ok$", secret: true }),
    });
    const env = {
      API_TOKEN: "hunter2",
      PASSPHRASE: "hunter2",
      OTEL_EXPORTER_OTLP_ENDPOINT: "ftp://u:hunter2@h",
    };
    const problems = problemsOf(env, schema);
    expect(problems).toHaveLength(3);
    expect(problems.join("\n")).not.toContain("hunter2");
  });

  test.each([
    ["AUTH_JWKS_URL", "https://user:password@issuer.example/keys"],
    ["AUTH_JWKS_URL", "issuer.example/keys?key=password"],
    ["AUTH_ISSUER", "https://user:password@issuer.example"],
    ["AUTH_ISSUER", "https://issuer.example?key=password"],
    ["KAFKA_OAUTH_TOKEN_URL", "user:password@issuer.example/token"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "user:password@collector.example"],
    ["KAFKA_BROKERS", "user:password@broker.example:9092"],
    ["ALLOWED_ORIGINS", "https://user:password@shop.example"],
    ["ALLOWED_HOSTS", "user:password@shop.example"],
  ])("shows no credentials of %s=%s", (name, value) => {
    const problems = problemsOf({ [name]: value }).filter((problem) =>
      problem.startsWith(`${name}: expected `),
    );
    expect(problems).toHaveLength(1);
    expect(problems.join("\n")).not.toContain("password");
  });

  test("reports each problem on one short line, whatever the value is", () => {
    const [problem = ""] = problemsOf({ HOST: `a\n\u001b[2J${"x".repeat(1000)}` });
    expect(problem).toStartWith("HOST: expected a host name or address, got 'a\\n\\u001b[2Jxxx");
    expect(problem.length).toBeLessThan(200);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is tested
    expect(problem).not.toMatch(/[\u0000-\u001f]/);
  });

  test("requires a setting without a default", () => {
    const MODE = Type.Union([Type.Literal("a"), Type.Literal("b")]);
    const schema = Type.Object({ ...commonSettings, MODE });
    expect(problemsOf({}, schema)).toEqual(["MODE: is not set, test needs it"]);
    expect(problemsOf({ MODE: "b" }, schema)).toEqual([]);
  });
});

describe("durations", () => {
  test.each([
    ["0ms", 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
  ])("%s is %d ms", (text, ms) => expect(durationToMs(text)).toBe(ms));

  test.each(["", "5", "s", "-1s", "1 s", "1w", "1e3s", "1s2s", ".5s", "9999999999999s", "constructor"])(
    "%p is not a duration",
    (text) => expect(durationToMs(text)).toBeUndefined(),
  );

  test("a duration out of bounds is refused", () => {
    const schema = Type.Object({ ...commonSettings, T: Duration("2s", { minimum: 1000, maximum: 5000 }) });
    expect(problemsOf({ T: "6s" }, schema)).toEqual([
      "T: expected a duration from 1s to 5s, such as 500ms, 30s, 15m, 24h or 7d, got '6s'",
    ]);
  });
});

describe("topics", () => {
  const topicsOf = (env: Record<string, string>) =>
    kafkaSettings("test", loadConfig(Common, env, "test")).topics;

  test("are created, in production only where TOPICS says so", () => {
    expect(topicsOf({})).toEqual({ create: true });
    expect(topicsOf({ NODE_ENV: "production" })).toEqual({ create: false });
    expect(topicsOf({ NODE_ENV: "production", TOPICS: "create" })).toEqual({ create: true });
    expect(topicsOf({ TOPICS: "check" })).toEqual({ create: false });
  });

  test("have the replication that the settings give", () => {
    const env = { TOPIC_REPLICATION: "3", TOPIC_MIN_INSYNC_REPLICAS: "2" };
    expect(topicsOf(env)).toEqual({ create: true, replication: 3, minInsyncReplicas: 2 });
    expect(problemsOf({ ...env, TOPIC_REPLICATION: "1" })).toEqual([
      "TOPIC_MIN_INSYNC_REPLICAS: expected at most TOPIC_REPLICATION, 1, got '2'",
    ]);
  });
});

describe("what only a demonstration may have", () => {
  const Demo = Type.Object({ ...commonSettings, DEMO_SIGN_IN: Type.Boolean({ default: false }) });
  const on = { DEMO_SIGN_IN: "true", AUTOMATION_TESTING: "true" };

  test.each(["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1"])(
    "is allowed where HOST is %s",
    (HOST) => {
      expect(problemsOf({ ...on, HOST }, Demo)).toEqual([]);
    },
  );

  test.each(["0.0.0.0", "::", "192.0.2.1", "store.internal", "2130706433", "127.1", "127.0.0.1.example"])(
    "is refused where HOST is %s, with every other problem, unless it is allowed by name",
    (HOST) => {
      const reached = { ...on, HOST };
      expect(problemsOf({ ...reached, LOG_LEVEL: "loud" }, Demo)).toEqual([
        expect.stringContaining("LOG_LEVEL: "),
        `DEMO_SIGN_IN: HOST is ${HOST}, not a loopback address, and with it, anybody signs in as anybody, admins included; if that is wanted, ALLOW_INSECURE=demo-sign-in`,
        `AUTOMATION_TESTING: HOST is ${HOST}, not a loopback address, and with it, anybody adds demo products, and an admin deletes all; if that is wanted, ALLOW_INSECURE=automation-testing`,
      ]);
      expect(problemsOf({ ...reached, ALLOW_INSECURE: "demo-sign-in" }, Demo)).toEqual([
        expect.stringMatching(/^AUTOMATION_TESTING: /),
      ]);
      expect(problemsOf({ ...reached, ALLOW_INSECURE: "supervisor" }, Demo)).toHaveLength(2);
      expect(problemsOf({ ...reached, ALLOW_INSECURE: "automation-testing, demo-sign-in" }, Demo)).toEqual(
        [],
      );
      expect(problemsOf({ HOST }, Demo)).toEqual([]);
    },
  );

  test("is refused in production", () => {
    expect(problemsOf({ ...on, NODE_ENV: "production" }, Demo)).toEqual([
      expect.stringMatching(/^DEMO_SIGN_IN: NODE_ENV is production, /),
      expect.stringMatching(/^AUTOMATION_TESTING: NODE_ENV is production, /),
    ]);
  });
});

describe("the URL of the keys that verify tokens", () => {
  test.each([
    ["https://issuer.example/jwks", []],
    ["http://127.0.0.1:8900/.well-known/jwks.json", []],
    ["http://[::1]:8900/jwks", []],
    ["http://issuer.example/jwks", [expect.stringMatching(/^AUTH_JWKS_URL: .* need TLS$/)]],
    ["http://127.0.0.1.issuer.example/jwks", [expect.stringMatching(/^AUTH_JWKS_URL: .* need TLS$/)]],
    [
      "https://user:password@issuer.example/jwks",
      [expect.stringMatching(/^AUTH_JWKS_URL: .*without credentials/)],
    ],
  ])("%s: %p", (url, problems) => {
    expect(problemsOf({ AUTH_JWKS_URL: url })).toEqual(problems);
  });
});

describe("several gateways that sign tokens", () => {
  const Gateway = Type.Object({
    ...commonSettings,
    ...instanceSettings,
    DEMO_SIGN_IN: Type.Boolean({ default: false }),
    AUTH_SIGNING_KEY: Type.Optional(Type.String()),
    AUTH_SIGNING_KEY_FILE: Type.Optional(Type.String()),
  });
  const load = (env: Record<string, string>) => loadConfig(Gateway, env, "gateway");
  const named = { DEMO_SIGN_IN: "true", INSTANCE: "a" };

  test("need one key", async () => {
    const { privateJwk } = await generateSigningKey();
    expect(() => load(named)).toThrow(/^AUTH_SIGNING_KEY: is not set/);
    expect(load({ ...named, AUTH_SIGNING_KEY: JSON.stringify(privateJwk) }).INSTANCE).toBe("a");
    expect(load({ DEMO_SIGN_IN: "true" }).INSTANCE).toBeUndefined();
    expect(load({ INSTANCE: "a" }).DEMO_SIGN_IN).toBe(false);
  });

  test.each(["rebuild", "A", "a_b", "-a"])("are not called %s", (name) => {
    expect(() => load({ INSTANCE: name })).toThrow(/^INSTANCE: expected 1 to 32 lower-case letters/);
  });
});
