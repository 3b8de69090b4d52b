import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SigningKeyPublished } from "@distributed-messaging/contracts";
import { migrate, openDatabase, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually, failureOf } from "@distributed-messaging/messaging/testing";
import { assemble } from "@distributed-messaging/service/composition";
import { loadConfig } from "@distributed-messaging/service/config";
import { generateSigningKey, type PublicJwk } from "@distributed-messaging/service/signing-key";
import { migrations } from "./migrations/index.ts";
import { service } from "./service.ts";
import { type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

let gateway: GatewayFixture;
beforeEach(async () => {
  gateway = await startGatewayFixture();
});
afterEach(() => gateway[Symbol.asyncDispose]());

const admin = () => signIn(gateway, "ADMIN", "admin");
const statusOf = async (client: Awaited<ReturnType<typeof admin>>) => (await client.get("/orders")).status;

interface Published {
  readonly keys: readonly (PublicJwk & {
    readonly kid: string;
    readonly use: string;
    readonly alg: string;
  })[];
}
const jwks = async (): Promise<Published> => (await fetch(`${gateway.url}/.well-known/jwks.json`)).json();
const idsIn = ({ keys }: Published) => keys.map(({ kid }) => kid);
const inFile = (): Published => JSON.parse(readFileSync(join(gateway.dataDir, "jwks.json"), "utf8"));
const states = () =>
  Object.fromEntries(gateway.parts.sessions.keys().map(({ keyId, state }) => [keyId, state]));
const currentId = () => gateway.parts.sessions.keys().find(({ state }) => state === "current")?.keyId ?? "";
const privateKeys = () => gateway.database.sql.query("SELECT private_key FROM token_keys").values();

test("the public keys are published over HTTP, in a file for this machine, and as an event", async () => {
  const response = await fetch(`${gateway.url}/.well-known/jwks.json`);
  expect(response.headers.get("content-type")).toBe("application/jwk-set+json");
  const published = await jwks();
  expect(published.keys).toEqual([
    { kty: "OKP", crv: "Ed25519", x: expect.any(String), kid: currentId(), use: "sig", alg: "EdDSA" },
  ]);
  expect(inFile()).toEqual(published);
  expect(statSync(join(gateway.dataDir, "jwks.json")).mode & 0o777).toBe(0o644);
  expect(gateway.emitted(SigningKeyPublished).map(({ data }) => data.keyId)).toEqual([currentId()]);
});

describe("a rotated key", () => {
  test("signs no more; its tokens are valid until they have expired", async () => {
    const before = await signIn(gateway, "ANN");
    const old = currentId();
    const { status, body } = await (await admin()).post("/signing-keys/rotate");
    expect({ status, body }).toEqual({ status: 201, body: { keyId: currentId() } });
    expect(states()).toEqual({ [old]: "retired", [currentId()]: "current" });
    expect(idsIn(await jwks()).sort()).toEqual([old, currentId()].sort());
    const after = await signIn(gateway, "ANN");
    expect([await statusOf(before), await statusOf(after)]).toEqual([200, 200]);
    expect(gateway.emitted(SigningKeyPublished).map(({ data }) => data.keyId)).toEqual([old, currentId()]);

    expect(idsIn(gateway.parts.sessions.jwks(Date.now() + 59 * 60_000))).toContain(old);
    expect(idsIn(gateway.parts.sessions.jwks(Date.now() + 62 * 60_000))).toEqual([currentId()]);
  });

  test("has no private half left, and stays retired after a restart", async () => {
    const old = currentId();
    await gateway.parts.sessions.rotate(gateway.running.messaging.unitOfWork);
    const current = currentId();
    expect(privateKeys().filter(([key]) => key !== null)).toHaveLength(1);
    await gateway.restart();
    expect(states()).toEqual({ [old]: "retired", [current]: "current" });
    expect(idsIn(inFile()).sort()).toEqual([old, current].sort());
  });
});

describe("a retired key", () => {
  test("is removed from the file once its tokens have expired", async () => {
    const { unitOfWork } = gateway.running.messaging;
    const old = currentId();
    await gateway.parts.sessions.rotate(unitOfWork);
    expect(idsIn(inFile())).toContain(old);
    gateway.aheadMs = 62 * 60_000;
    // A timer that is set makes the service look for those that are due by its clock.
    await unitOfWork.run(({ now, setTimer }) =>
      setTimer({ name: "signing-key-expiry", key: "none", dueAt: now + 60_000 }),
    );
    await eventually(() => !idsIn(inFile()).includes(old));
    expect(idsIn(inFile())).toEqual([currentId()]);
  });
});

test("the files of the database have no private key but that of the current key, in free pages and the log neither", async () => {
  const { dataDir } = gateway;
  const database = openDatabase(join(dataDir, "gateway.sqlite"));
  try {
    migrate(database, service.name, service.migrations);
    const { messaging, parts } = assemble(
      service,
      loadConfig(service.config, { DATA_DIR: dataDir }, service.name),
      {
        database,
        connect: (_, topics) => new MemoryBroker(topics, systemRuntime),
        runtime: systemRuntime,
        log: silentLogger,
      },
    );
    const { unitOfWork } = messaging;
    await parts.sessions.publishKey(unitOfWork);
    const files = ["gateway.sqlite", "gateway.sqlite-wal"].map((name) => join(dataDir, name));
    const isIn = (key: string) =>
      files.map((file) => readFileSync(file, "latin1")).some((text) => text.includes(key));
    const current = () =>
      String(
        database.sql
          .query("SELECT private_key ->> 'd' FROM token_keys WHERE private_key IS NOT NULL")
          .values(),
      );
    // What stays in free pages depends on where SQLite puts the next row, hence this look at how rows are overwritten.
    database.sql.run("CREATE TEMP TABLE overwrites (is_secure INTEGER)");
    database.sql.run(`CREATE TEMP TRIGGER overwrite AFTER UPDATE ON token_keys
      BEGIN INSERT INTO overwrites SELECT secure_delete FROM pragma_secure_delete; END`);
    const former = [current()];
    await parts.sessions.rotate(unitOfWork);
    expect([former.filter(isIn), isIn(current())]).toEqual([[], true]);
    former.push(current());
    const { keyId } = parts.sessions.keys().find(({ state }) => state === "current") ?? { keyId: "" };
    await parts.sessions.withdraw(keyId, unitOfWork);
    expect([former.filter(isIn), isIn(current())]).toEqual([[], true]);
    expect(database.sql.query("SELECT is_secure FROM overwrites").values()).toEqual([[1], [1]]);
    // Other rows are deleted by the thousand.
    expect(database.sql.query("PRAGMA secure_delete").values()).toEqual([[0]]);
    await messaging.stop();
  } finally {
    database.close();
  }
});

describe("a withdrawn key", () => {
  test("verifies nothing from the answer on, and another one signs", async () => {
    const [client, operator] = [await signIn(gateway, "ANN"), await admin()];
    const stolen = currentId();
    expect(await statusOf(client)).toBe(200);
    expect((await operator.post(`/signing-keys/${stolen}/withdraw`)).status).toBe(200);
    expect([await statusOf(client), await statusOf(operator)]).toEqual([401, 401]);
    expect(states()[stolen]).toBe("withdrawn");
    expect(idsIn(await jwks())).toEqual([currentId()]);
    expect(await statusOf(await signIn(gateway, "ANN"))).toBe(200);
    expect(privateKeys().filter(([key]) => key !== null)).toHaveLength(1);
  });

  test("stays withdrawn: after a restart, a rotation, a second withdrawal and a replay of its event", async () => {
    const client = await signIn(gateway, "ANN");
    const stolen = currentId();
    const { sessions } = gateway.parts;
    const [event] = gateway.emitted(SigningKeyPublished);
    await sessions.withdraw(stolen, gateway.running.messaging.unitOfWork);
    const successor = currentId();
    await sessions.withdraw(stolen, gateway.running.messaging.unitOfWork);
    expect(currentId()).toBe(successor);
    await gateway.restart();
    await gateway.parts.sessions.rotate(gateway.running.messaging.unitOfWork);
    if (event !== undefined) await gateway.publish(SigningKeyPublished, event.data);
    expect(states()).toEqual({ [stolen]: "withdrawn", [successor]: "retired", [currentId()]: "current" });
    expect(await statusOf(client)).toBe(401);
  });

  test("may be one that is retired: the key that signs stays, and is announced again", async () => {
    const { sessions } = gateway.parts;
    const { unitOfWork } = gateway.running.messaging;
    const before = await signIn(gateway, "ANN");
    const old = currentId();
    await sessions.rotate(unitOfWork);
    const after = await signIn(gateway, "ANN");
    const current = currentId();
    await sessions.withdraw(old, unitOfWork);
    expect([await statusOf(before), await statusOf(after)]).toEqual([401, 200]);
    expect(gateway.emitted(SigningKeyPublished).map(({ data }) => data.keyId)).toEqual([
      old,
      current,
      current,
    ]);
  });

  test("ends also when the file could not be written, once the withdrawal is repeated", async () => {
    const stolen = currentId();
    const { unitOfWork } = gateway.running.messaging;
    const path = join(gateway.dataDir, "jwks.json");
    // Not even root replaces a directory by a file.
    rmSync(path);
    mkdirSync(path);
    const withdraw = () => gateway.parts.sessions.withdraw(stolen, unitOfWork);
    expect(await failureOf(withdraw())).toContain("jwks.json");
    rmdirSync(path);
    await withdraw();
    expect(idsIn(inFile())).toEqual([currentId()]);
    expect(await statusOf(await signIn(gateway, "ANN"))).toBe(200);
  });

  test("must exist", async () => {
    expect((await (await admin()).post("/signing-keys/unknown/withdraw")).status).toBe(404);
    expect(Object.values(states())).toEqual(["current"]);
  });
});

test("rotations and withdrawals at the same time leave one key, and it signs", async () => {
  const { sessions } = gateway.parts;
  const { unitOfWork } = gateway.running.messaging;
  const first = currentId();
  await Promise.all([
    sessions.rotate(unitOfWork),
    sessions.withdraw(first, unitOfWork),
    sessions.rotate(unitOfWork),
    sessions.rotate(unitOfWork),
  ]);
  const { [first]: ofFirst, ...others } = states();
  expect(ofFirst).toBe("withdrawn");
  const [current, ...retired] = Object.values(others).sort();
  expect([current, new Set(retired)]).toEqual(["current", new Set(["retired"])]);
  // Each rotation made a key, and so did the withdrawal if its turn came first: keys are generated in any order.
  expect([2, 3]).toContain(retired.length);
  expect(await statusOf(await signIn(gateway, "ANN"))).toBe(200);
});

test("the keys are for admins", async () => {
  const customer = await signIn(gateway, "ANN");
  expect((await customer.get("/signing-keys")).status).toBe(403);
  expect((await customer.post("/signing-keys/rotate")).status).toBe(403);
  expect((await customer.post(`/signing-keys/${currentId()}/withdraw`)).status).toBe(403);
  const { body } = await (await admin()).get("/signing-keys");
  expect(JSON.stringify(body)).toBe(JSON.stringify(gateway.parts.sessions.keys()));
});

describe("a key from the settings", () => {
  const start = (jwk: object) => startGatewayFixture({ AUTH_SIGNING_KEY: JSON.stringify(jwk) });

  test("signs, is stored nowhere, and is rotated by another setting", async () => {
    const key = await generateSigningKey();
    await using configured = await start(key.privateJwk);
    const { sessions } = configured.parts;
    expect(idsIn(sessions.jwks(Date.now()))).toEqual([key.keyId]);
    expect(configured.database.sql.query("SELECT private_key FROM token_keys").values()).toEqual([[null]]);
    const client = await signIn(configured, "ANN");
    expect(await statusOf(client)).toBe(200);
    expect(await failureOf(sessions.rotate(configured.running.messaging.unitOfWork))).toContain(
      "Set another one",
    );
  });

  test("may be in a file", async () => {
    const key = await generateSigningKey();
    const file = join(gateway.dataDir, "signing.jwk");
    writeFileSync(file, `${JSON.stringify(key.privateJwk)}\n`);
    await using configured = await startGatewayFixture({ AUTH_SIGNING_KEY_FILE: file });
    expect(idsIn(configured.parts.sessions.jwks(Date.now()))).toEqual([key.keyId]);
    const both = { AUTH_SIGNING_KEY_FILE: file, AUTH_SIGNING_KEY: "{}" };
    expect(await failureOf(startGatewayFixture(both))).toContain(
      "AUTH_SIGNING_KEY_FILE: is set, but AUTH_SIGNING_KEY is, too",
    );
    const missing = { AUTH_SIGNING_KEY_FILE: `${file}.none` };
    expect(await failureOf(startGatewayFixture(missing))).toContain(
      "AUTH_SIGNING_KEY_FILE: there is no file that can be read (ENOENT)",
    );
  });

  test("that was withdrawn prevents a start", async () => {
    const key = await generateSigningKey();
    await using configured = await start(key.privateJwk);
    await configured.parts.sessions.withdraw(key.keyId, configured.running.messaging.unitOfWork);
    expect(await statusOf(await signIn(configured, "ANN"))).toBe(200);
    await configured.stop();
    expect(await failureOf(configured.start())).toContain("was withdrawn; set another one");
  });

  test("that cannot sign prevents a start, is named with all other wrong settings, and is not shown", async () => {
    const AUTH_SIGNING_KEY = JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "AA", d: "secret" });
    const failure = await failureOf(startGatewayFixture({ AUTH_SIGNING_KEY, OUTBOX_LIMIT: "none" }));
    expect(failure).toContain("AUTH_SIGNING_KEY: expected a private Ed25519 key");
    expect(failure).toContain("OUTBOX_LIMIT");
    expect(failure).not.toContain("secret");
  });
});

test("the key of an earlier version of the gateway stays in use", async () => {
  const database = openDatabase(":memory:");
  try {
    const key = await generateSigningKey();
    migrate(database, "api-gateway", migrations.slice(0, 2));
    database.sql.run("INSERT INTO signing_key VALUES (?, ?)", [key.keyId, JSON.stringify(key.privateJwk)]);
    migrate(database, "api-gateway", migrations);
    const [row] = database.sql
      .query<{ public_key: string; private_key: string; state: string }, []>("SELECT * FROM token_keys")
      .all();
    expect(row?.state).toBe("current");
    expect(JSON.parse(row?.public_key ?? "")).toEqual(key.publicJwk);
    expect(JSON.parse(row?.private_key ?? "")).toEqual(key.privateJwk);
  } finally {
    database.close();
  }
});
