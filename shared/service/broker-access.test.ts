import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failureOf } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { ConfigError, commonSettings, kafkaSettings, loadConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "broker-access-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const load = (env: Record<string, string>) => loadConfig(Type.Object(commonSettings), env, "test");
const settingsOf = (env: Record<string, string>) => kafkaSettings("test", load(env));

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const password = { KAFKA_SASL_USERNAME: "order", KAFKA_SASL_PASSWORD: "p" };
const remote = { KAFKA_BROKERS: "127.0.0.1:9092,a.example:9093" };
const client = {
  KAFKA_SASL_MECHANISM: "oauthbearer",
  KAFKA_OAUTH_TOKEN_URL: "https://issuer.example/token",
  KAFKA_OAUTH_CLIENT_ID: "order",
  KAFKA_OAUTH_CLIENT_SECRET: "s",
};

describe("the settings of the broker access", () => {
  test("without any, a connection is neither encrypted nor authenticated", () => {
    expect(settingsOf({})).toMatchObject({ ssl: false });
    expect(settingsOf({})).not.toHaveProperty("sasl");
  });

  test("KAFKA_SSL alone trusts the CAs of the system", () => {
    expect(settingsOf({ KAFKA_SSL: "true" }).ssl).toBe(true);
  });

  test("a secret is in the environment, or in a file that is read at each authentication", () => {
    const path = file("password", "first\n");
    const { sasl } = settingsOf({
      KAFKA_SASL_MECHANISM: "scram-sha-512",
      KAFKA_SASL_USERNAME: "order",
      KAFKA_SASL_PASSWORD_FILE: path,
    });
    if (sasl === undefined || sasl.mechanism === "oauthbearer" || typeof sasl.password === "string") {
      throw new Error("expected a password that is read");
    }
    expect(sasl).toMatchObject({ mechanism: "scram-sha-512", username: "order" });
    expect(sasl.password()).toBe("first");
    writeFileSync(path, " second ");
    expect(sasl.password()).toBe(" second ");
    rmSync(path);
    expect(sasl.password).toThrow("KAFKA_SASL_PASSWORD_FILE: there is no file that can be read (ENOENT)");
  });

  test("a token is in a file that is read at each authentication", async () => {
    const path = file("token", "first\n");
    const { sasl } = settingsOf({ KAFKA_SASL_MECHANISM: "oauthbearer", KAFKA_OAUTH_TOKEN_FILE: path });
    if (sasl?.mechanism !== "oauthbearer") throw new Error("expected a token");
    expect(await sasl.token()).toBe("first");
    writeFileSync(path, "second");
    expect(await sasl.token()).toBe("second");
    rmSync(path);
    expect(await failureOf(sasl.token())).toContain(
      "KAFKA_OAUTH_TOKEN_FILE: there is no file that can be read (ENOENT)",
    );
  });

  test("a token may come from an OAuth 2.0 server", () => {
    expect(problemsOf({ ...client, KAFKA_SSL: "true", KAFKA_OAUTH_SCOPE: "kafka" })).toEqual([]);
    expect(settingsOf({ ...client, KAFKA_SSL: "true" }).sasl?.mechanism).toBe("oauthbearer");
  });

  test("everything that is missing or in vain is named at once", () => {
    expect(
      problemsOf({
        KAFKA_SSL_CA_FILE: "ca.pem",
        KAFKA_SSL_KEY_PASSWORD: "p",
        KAFKA_SASL_MECHANISM: "oauthbearer",
        KAFKA_SASL_PASSWORD: "p",
        KAFKA_OAUTH_TOKEN_URL: "https://issuer.example/token",
        KAFKA_OAUTH_CLIENT_SECRET: "s",
        KAFKA_OAUTH_CLIENT_SECRET_FILE: "secret",
      }),
    ).toEqual([
      "KAFKA_SASL_PASSWORD: is set, but KAFKA_SASL_MECHANISM is oauthbearer",
      "KAFKA_OAUTH_CLIENT_ID: is not set, but KAFKA_OAUTH_TOKEN_URL and KAFKA_OAUTH_CLIENT_SECRET are",
      "KAFKA_SSL_CA_FILE: is set, but KAFKA_SSL is not true",
      "KAFKA_SSL_KEY_PASSWORD: is set, but KAFKA_SSL is not true",
      "KAFKA_OAUTH_CLIENT_SECRET_FILE: is set, but KAFKA_OAUTH_CLIENT_SECRET is, too",
    ]);
  });

  test.each<[string, Record<string, string>, string]>([
    [
      "oauthbearer without a token",
      { KAFKA_SASL_MECHANISM: "oauthbearer" },
      "KAFKA_OAUTH_TOKEN_URL: is not set, and neither is KAFKA_OAUTH_TOKEN_FILE; oauthbearer needs one",
    ],
    [
      "a token from two places",
      {
        KAFKA_SASL_MECHANISM: "oauthbearer",
        KAFKA_OAUTH_TOKEN_FILE: file("a-token", "t"),
        KAFKA_OAUTH_SCOPE: "kafka",
      },
      "KAFKA_OAUTH_SCOPE: is set, but KAFKA_OAUTH_TOKEN_FILE is, too",
    ],
    [
      "a token for another mechanism",
      { ...password, KAFKA_SASL_MECHANISM: "plain", KAFKA_OAUTH_SCOPE: "kafka" },
      "KAFKA_OAUTH_SCOPE: is set, but KAFKA_SASL_MECHANISM is not oauthbearer",
    ],
    [
      "a certificate without its key",
      { KAFKA_SSL: "true", KAFKA_SSL_CERT_FILE: file("no.pem", "none") },
      "KAFKA_SSL_KEY_FILE: is not set, but KAFKA_SSL_CERT_FILE is",
    ],
    [
      "a password of a key that is not set",
      { KAFKA_SSL: "true", KAFKA_SSL_KEY_PASSWORD: "p" },
      "KAFKA_SSL_KEY_PASSWORD: is set, but KAFKA_SSL_KEY_FILE is not",
    ],
    [
      "a file that is missing",
      { KAFKA_SSL: "true", KAFKA_SSL_CA_FILE: join(folder, "absent.pem") },
      "KAFKA_SSL_CA_FILE: there is no file that can be read (ENOENT); the value is not shown",
    ],
    [
      "a file without a certificate",
      { KAFKA_SSL: "true", KAFKA_SSL_CA_FILE: file("text.pem", "no certificate") },
      "KAFKA_SSL_CA_FILE: has no certificate in PEM",
    ],
    [
      "a certificate that is cut off",
      {
        KAFKA_SSL: "true",
        KAFKA_SSL_CA_FILE: file("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
      },
      "KAFKA_SSL_CA_FILE: has a certificate that cannot be decoded",
    ],
    [
      "an empty secret",
      {
        KAFKA_SASL_MECHANISM: "plain",
        KAFKA_SASL_USERNAME: "order",
        KAFKA_SASL_PASSWORD_FILE: file("empty", "\n"),
      },
      "KAFKA_SASL_PASSWORD_FILE: is empty",
    ],
    [
      "an empty token",
      { KAFKA_SASL_MECHANISM: "oauthbearer", KAFKA_OAUTH_TOKEN_FILE: file("blank", " \n") },
      "KAFKA_OAUTH_TOKEN_FILE: is empty",
    ],
  ])("is refused: %s", (_, env, problem) => expect(problemsOf(env)).toContain(problem));
});

test("a secret in place of the file that has it is not shown", () => {
  const pem = `-----BEGIN PRIVATE KEY-----\n${"MC4CAQAw".repeat(40)}\n-----END PRIVATE KEY-----`;
  const problems = problemsOf({
    KAFKA_SSL: "true",
    KAFKA_SSL_KEY_FILE: pem,
    KAFKA_SSL_CERT_FILE: "hunter2-cert",
    KAFKA_SASL_MECHANISM: "plain",
    KAFKA_SASL_USERNAME: "order",
    KAFKA_SASL_PASSWORD_FILE: "hunter2",
  });
  expect(problems.map((problem) => problem.split(":")[0])).toEqual([
    "KAFKA_SASL_PASSWORD_FILE",
    "KAFKA_SSL_CERT_FILE",
    "KAFKA_SSL_KEY_FILE",
  ]);
  expect(problems.join()).not.toMatch(/hunter2|MC4C/);
  expect(
    problemsOf({ KAFKA_SASL_MECHANISM: "oauthbearer", KAFKA_OAUTH_TOKEN_FILE: "hunter2" }).join(),
  ).not.toContain("hunter2");
});

describe("a secret that would be sent readable", () => {
  const accept = { ALLOW_INSECURE: "sasl-without-tls" };

  test.each(["localhost:9092", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1"])("may be to %s", (KAFKA_BROKERS) =>
    expect(problemsOf({ ...password, KAFKA_SASL_MECHANISM: "plain", KAFKA_BROKERS })).toEqual([]),
  );

  test.each(["a.example:9092", "localhost.example:1", "127.0.0.1.example:1", "2130706433:1", "10.0.0.1:1"])(
    "is not sent to %s, unless that is accepted by name",
    (KAFKA_BROKERS) => {
      const env = { ...password, KAFKA_SASL_MECHANISM: "plain", KAFKA_BROKERS };
      expect(problemsOf(env)).toEqual([
        `KAFKA_SASL_MECHANISM: plain sends the password readable to ${KAFKA_BROKERS}: set KAFKA_SSL=true, or ` +
          "ALLOW_INSECURE=sasl-without-tls if that is wanted",
      ]);
      expect(problemsOf({ ...env, ...accept })).toEqual([]);
      expect(problemsOf({ ...env, KAFKA_SSL: "true" })).toEqual([]);
    },
  );

  test("is a token, too, also towards one of several brokers", () => {
    expect(problemsOf({ ...client, ...remote })).toEqual([
      "KAFKA_SASL_MECHANISM: oauthbearer sends the token readable to a.example:9093: set KAFKA_SSL=true, or " +
        "ALLOW_INSECURE=sasl-without-tls if that is wanted",
    ]);
  });

  test("is no password of SCRAM", () => {
    expect(problemsOf({ ...password, ...remote, KAFKA_SASL_MECHANISM: "scram-sha-256" })).toEqual([]);
  });

  test("is not sent to a token endpoint without TLS, except on this machine", () => {
    const env = { ...client, KAFKA_SSL: "true" };
    expect(problemsOf({ ...env, KAFKA_OAUTH_TOKEN_URL: "http://127.0.0.1:1/token" })).toEqual([]);
    const bare = { ...env, KAFKA_OAUTH_TOKEN_URL: "http://issuer.example/token" };
    expect(problemsOf(bare)).toEqual([
      "KAFKA_OAUTH_TOKEN_URL: the client secret would be sent readable: expected https, or " +
        "ALLOW_INSECURE=sasl-without-tls if that is wanted",
    ]);
    expect(problemsOf({ ...bare, ...accept })).toEqual([]);
  });
});

test("no problem shows a secret", () => {
  const problems = problemsOf({
    KAFKA_SSL_KEY_PASSWORD: "hunter2",
    KAFKA_SASL_PASSWORD: "hunter2",
    KAFKA_OAUTH_CLIENT_SECRET: "hunter2",
    KAFKA_OAUTH_TOKEN_URL: "ftp://u:hunter2@issuer.example",
    KAFKA_SASL_MECHANISM: "oauthbearer",
    ...remote,
  });
  expect(problems.length).toBeGreaterThan(4);
  expect(problems.join("\n")).not.toContain("hunter2");
});
