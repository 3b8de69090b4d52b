import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PlaceOrder, SigningKeyPublished } from "@distributed-messaging/contracts";
import {
  type Batch,
  deadLetterTopic,
  errorText,
  type Logger,
  type OutgoingRecord,
  PublishError,
  silentLogger,
  systemRuntime,
  type Topic,
} from "@distributed-messaging/messaging";
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  KafkaClient,
  type KafkaSettings,
  kafkaTransport,
  ResourcePatternTypes,
} from "@distributed-messaging/messaging/kafka";
import { eventually, failureOf } from "@distributed-messaging/messaging/testing";
import { type ApacheKafka, startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { provision } from "@distributed-messaging/redpanda/provision";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { rightsOf } from "@distributed-messaging/services/access-rights";
import {
  forEachService,
  type ServiceName,
  serviceNames,
  storeTopics,
} from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { read } from "../support/answers.ts";
import { cloudEvent } from "../support/bad-messages.ts";
import { CertificateAuthority, type CertificateFiles, keystore } from "../support/certificates.ts";
import { runToEnd } from "../support/run-to-end.ts";
import { Store } from "../support/store.ts";

/*
 * An Apache Kafka with TLS, every SASL mechanism, mutual TLS and ACLs; the store on it with SASL_SSL and SCRAM. Not named
 * `*.test.ts`: it needs Java, Maven and openssl. `bun run test-apache-kafka` runs it.
 */

type Env = Readonly<Record<string, string>>;

const LIMIT_MS = 120_000;
/** kafkajs authenticates again 10 s before the end of a session. */
const SESSION_MS = 12_000;
const ADMIN = "admin";
const OPERATOR = "operator";
const AUDIENCE = "kafka";

const folder = mkdtempSync(join(tmpdir(), "tls-and-sasl-"));
const passwordOf = forEachService(() => crypto.randomUUID());
const adminPassword = crypto.randomUUID();
const operatorPassword = crypto.randomUUID();
const clientSecret = crypto.randomUUID();
const DeadLetters = Type.Array(
  Type.Object({ key: Type.Union([Type.String(), Type.Null()]), reason: Type.String() }),
);
/** What the store logged. */
const logged: string[] = [];

let authority: CertificateAuthority;
let foreign: CertificateAuthority;
let certificateOf: Readonly<Record<ServiceName, CertificateFiles>>;
let issuer: Issuer;
let kafka: ApacheKafka;
let ports: { readonly sasl: number; readonly mutual: number };
let supervisor: StoreSupervisor;
let store: Store;

beforeAll(async () => {
  authority = await CertificateAuthority.create(join(folder, "authority"));
  foreign = await CertificateAuthority.create(join(folder, "foreign"));
  // The address 127.0.0.1 is no name of it.
  const server = await authority.issue("server", { subject: "/CN=broker", names: "DNS:localhost" });
  const certificates = await Promise.all(
    serviceNames.map(
      async (name) =>
        [
          name,
          await authority.issue(name, { subject: `/O=Store/CN=${name}`, names: `DNS:${name}` }),
        ] as const,
    ),
  );
  const byName = new Map(certificates);
  certificateOf = forEachService((name) => byName.get(name) ?? { cert: "", key: "" });
  issuer = await Issuer.start();
  const [broker = 0, controller = 0, sasl = 0, mutual = 0] = freePorts(4);
  ports = { sasl, mutual };
  kafka = await startApacheKafka({
    ports: { broker, controller },
    users: { [ADMIN]: adminPassword, ...passwordOf },
    scram: serviceNames.flatMap((name) =>
      (["SCRAM-SHA-256", "SCRAM-SHA-512"] as const).map((mechanism) => ({
        mechanism,
        name,
        password: passwordOf[name],
      })),
    ),
    settings: listeners({ broker, controller, sasl, mutual }, keystore(server)),
    systemProperties: { "org.apache.kafka.sasl.oauthbearer.allowed.urls": issuer.keysUrl },
  });
  await provision(settingsOf(plain(ADMIN, adminPassword)), storeTopics);
  const certificateNames = "User:CN={service},O=Store";
  for (const principals of ["User:{service}", certificateNames])
    await access(["apply", "--principal", principals]);
  for (const name of serviceNames) writeFileSync(passwordFile(name), `${passwordOf[name]}\n`);
  supervisor = new StoreSupervisor({
    dataDir: join(folder, "data"),
    brokers: `localhost:${sasl}`,
    env: {
      AUTOMATION_TESTING: "true",
      DEMO_SIGN_IN: "true",
      TOPICS: "check",
      LOG_LEVEL: "debug",
      ...trust(),
    },
    envOf: (name) => ({
      KAFKA_SASL_MECHANISM: "scram-sha-512",
      KAFKA_SASL_USERNAME: name,
      KAFKA_SASL_PASSWORD_FILE: passwordFile(name),
    }),
    onLog: ({ line }) => logged.push(line),
  });
  await supervisor.startAll();
  store = new Store({
    addresses: forEachService((name) => supervisor.url(name)),
    brokers: supervisor.brokers,
    isFresh: true,
  });
}, LIMIT_MS);
afterAll(async () => {
  await supervisor?.stopAll();
  await kafka?.stop();
  await issuer?.stop();
  rmSync(folder, { recursive: true, force: true });
}, LIMIT_MS);

/** The broker's listeners beside those of the administrator and of the controller. */
function listeners(
  { broker, controller, sasl, mutual }: Readonly<Record<"broker" | "controller" | "sasl" | "mutual", number>>,
  keys: string,
): Env {
  const module = "org.apache.kafka.common.security";
  const oauth = "listener.name.sasl_ssl.oauthbearer";
  const passwords = { [ADMIN]: adminPassword, [OPERATOR]: operatorPassword, ...passwordOf };
  const users = Object.entries(passwords).map(([name, secret]) => `user_${name}="${secret}"`);
  return {
    listeners: `PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller},SASL_SSL://127.0.0.1:${sasl},SSL://127.0.0.1:${mutual}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${broker},SASL_SSL://localhost:${sasl},SSL://localhost:${mutual}`,
    "listener.security.protocol.map":
      "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": keys,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": authority.cert,
    "listener.name.ssl.ssl.client.auth": "required",
    "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
    "listener.name.sasl_ssl.plain.sasl.jaas.config": `${module}.plain.PlainLoginModule required ${users.join(" ")};`,
    "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": `${module}.scram.ScramLoginModule required;`,
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": `${module}.scram.ScramLoginModule required;`,
    [`${oauth}.sasl.jaas.config`]: `${module}.oauthbearer.OAuthBearerLoginModule required;`,
    [`${oauth}.sasl.server.callback.handler.class`]: `${module}.oauthbearer.OAuthBearerValidatorCallbackHandler`,
    "sasl.oauthbearer.jwks.endpoint.url": issuer.keysUrl,
    "sasl.oauthbearer.expected.audience": AUDIENCE,
    // The default of Apache Kafka 4.1 verifies neither the signature nor the audience.
    "sasl.oauthbearer.jwt.validator.class": `${module}.oauthbearer.BrokerJwtValidator`,
    [`${oauth}.connections.max.reauth.ms`]: String(SESSION_MS),
  };
}

function signed(key: CryptoKey, subject: string, audience: string): Promise<string> {
  return new SignJWT({ sub: subject, aud: audience })
    .setProtectedHeader({ alg: "RS256", kid: "k1" })
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(key);
}

/** An OAuth 2.0 server whose clients are the services. */
class Issuer {
  readonly #server: Bun.Server<undefined>;
  readonly #sign: (subject: string, audience: string) => Promise<string>;
  /** How many tokens were requested. */
  requests = 0;

  private constructor(keys: unknown, sign: (subject: string, audience: string) => Promise<string>) {
    this.#sign = sign;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      routes: { "/keys": Response.json({ keys: [keys] }), "/token": (request) => this.#answer(request) },
    });
  }

  static async start(): Promise<Issuer> {
    const { publicKey, privateKey } = await generateKeyPair("RS256");
    const key = { ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256", use: "sig" };
    return new Issuer(key, (subject, audience) => signed(privateKey, subject, audience));
  }

  get keysUrl(): string {
    return `http://127.0.0.1:${this.#server.port}/keys`;
  }

  get tokenUrl(): string {
    return `http://127.0.0.1:${this.#server.port}/token`;
  }

  token(subject: string, audience = AUDIENCE): Promise<string> {
    return this.#sign(subject, audience);
  }

  /** Without `expires_in`, so that each authentication requests a token. */
  async #answer(request: Request): Promise<Response> {
    this.requests += 1;
    const credentials = Buffer.from(
      request.headers.get("authorization")?.slice(6) ?? "",
      "base64",
    ).toString();
    const [client = "", secret = ""] = credentials.split(":").map(decodeURIComponent);
    if (secret !== clientSecret) return Response.json({ error: "invalid_client" }, { status: 401 });
    return Response.json({ access_token: await this.token(client), token_type: "Bearer" });
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}

const trust = () => ({ KAFKA_SSL: "true", KAFKA_SSL_CA_FILE: authority.cert });
const passwordFile = (name: ServiceName) => join(folder, `${name}.password`);

function password(mechanism: string, username: string, secret: string): Env {
  return {
    KAFKA_BROKERS: `localhost:${ports.sasl}`,
    ...trust(),
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: secret,
  };
}

const plain = (username: string, secret: string) => password("plain", username, secret);

/** Stolen credentials: those with which the service runs. */
const stolen = (name: ServiceName) => password("scram-sha-512", name, passwordOf[name]);

/** What a service with this environment connects with. */
function settingsOf(env: Env): KafkaSettings {
  return kafkaSettings("test", loadConfig(Type.Object(commonSettings), { TOPICS: "check", ...env }, "test"));
}

/** Runs a command of the repository. */
function command(name: string, args: readonly string[], env: Env) {
  return runToEnd([process.execPath, `scripts/${name}.ts`, ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
  });
}

/** `bun run access`, as the administrator. @returns its output */
async function access(args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await command("access", args, plain(ADMIN, adminPassword));
  if (stderr !== "") throw new Error(stderr);
  return stdout;
}

type AclEntry = Parameters<Admin["createAcls"]>[0]["acl"][number];

/** A right of a user. @param on the beginning of the name with a `*` at its end, or the whole name */
function right(
  user: string,
  operation: keyof typeof AclOperationTypes,
  resource: keyof typeof AclResourceTypes,
  on: string,
): AclEntry {
  const isPrefix = on.length > 1 && on.endsWith("*");
  return {
    principal: `User:${user}`,
    host: "*",
    permissionType: AclPermissionTypes.ALLOW,
    operation: AclOperationTypes[operation],
    resourceType: AclResourceTypes[resource],
    resourceName: isPrefix ? on.slice(0, -1) : on,
    resourcePatternType: isPrefix ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
  };
}

async function asAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const client = new KafkaClient(settingsOf(plain(ADMIN, adminPassword)), silentLogger);
  const admin = client.kafka.admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await client.close(() => admin.disconnect());
  }
}

const record = (topic: string): OutgoingRecord => ({ topic, key: "k", value: null, headers: {} });

/** Publishes a record to each of the topics. @returns why which one was refused */
async function refused(env: Env, topics: readonly Topic[]): Promise<Record<string, string>> {
  const transport = kafkaTransport(settingsOf(env), topics, systemRuntime, silentLogger);
  try {
    await transport.publish(topics.map(({ name }) => record(name)));
    return {};
  } catch (error) {
    if (!(error instanceof PublishError)) throw error;
    return Object.fromEntries(
      [...error.failures].map(([{ topic }, failure]) => [topic, `${failure.scope}: ${failure.error}`]),
    );
  } finally {
    await transport.close();
  }
}

const FORBIDDEN = expect.stringMatching(/^topic: .*(not authorized|authorization failed)/i);

function topicNamed(name: string): Topic {
  const topic = storeTopics.find((one) => one.name === name);
  if (topic === undefined) throw new Error(`there is no topic ${name}`);
  return topic;
}

test(
  "the store takes an order to confirmed, with TLS and SCRAM",
  async () => {
    const customer = await eventually(() => store.signIn("CUSTOMER_001"), "the sign-in");
    await store.seed();
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
    await customer.until(orderId, "confirmed");
    expect(await store.metric("order", "dead_letters")).toBe(0);
  },
  LIMIT_MS,
);

test(
  "bun run access grants every right once, and names the rights in excess",
  async () => {
    expect(await access(["apply"])).toBe("every right is granted, and no other\n");
    const everything = right("notification", "ALL", "TOPIC", "order*");
    await asAdmin((admin) => admin.createAcls({ acl: [everything] }));
    expect(await access(["apply"])).toBe(
      "not removed: User:notification: ALLOW ALL on TOPIC order (as a prefix)\n",
    );
    await asAdmin((admin) => admin.deleteAcls({ filters: [everything] }));
    expect(await access(["apply"])).toBe("every right is granted, and no other\n");
  },
  LIMIT_MS,
);

test(
  "operators provision topics, read lags and grant rights with the rights that docs/operations.md lists",
  async () => {
    const env = plain(OPERATOR, operatorPassword);
    const made: Topic = {
      name: "made-by-an-operator",
      key: "any",
      partitions: 2,
      config: { "retention.ms": "1000" },
    };
    const provisioned = () => provision(settingsOf(env), [...storeTopics, made], { timeoutMs: 0 });
    const grant = (...acl: AclEntry[]) => asAdmin((admin) => admin.createAcls({ acl }));
    expect(await failureOf(provisioned())).toMatch(/authoriz/i);
    const described = ["DESCRIBE", "DESCRIBE_CONFIGS", "CREATE"] as const;
    await grant(...described.map((operation) => right(OPERATOR, operation, "TOPIC", "*")));
    expect(await provisioned()).toEqual({ created: [made.name], drift: [] });
    await asAdmin((admin) => admin.deleteTopics({ topics: [made.name] }));

    await grant(right(OPERATOR, "DESCRIBE", "GROUP", "*"));
    const shown = await command("topics", [], env);
    expect(shown.stderr).toBe("");
    for (const name of ["order.commands", "inventory"]) expect(shown.stdout).toContain(name);

    expect((await command("access", ["apply"], env)).stderr).toMatch(/authoriz/i);
    await grant(
      ...(["DESCRIBE", "ALTER"] as const).map((one) => right(OPERATOR, one, "CLUSTER", "kafka-cluster")),
    );
    const lost = right("notification", "READ", "GROUP", "notification.rebuild");
    await asAdmin((admin) => admin.deleteAcls({ filters: [lost] }));
    expect(await command("access", ["apply"], env)).toMatchObject({
      stdout: "created User:notification: ALLOW READ on GROUP notification.rebuild\n",
      stderr: "",
    });
  },
  LIMIT_MS,
);

describe("a service is its own principal", () => {
  const certificate = (): Env => ({
    KAFKA_BROKERS: `localhost:${ports.mutual}`,
    ...trust(),
    KAFKA_SSL_CERT_FILE: certificateOf.order.cert,
    KAFKA_SSL_KEY_FILE: certificateOf.order.key,
  });
  const tokenFile = join(folder, "token");
  const ways: [string, () => Env | Promise<Env>][] = [
    ["by PLAIN", () => plain("order", passwordOf.order)],
    ["by SCRAM-SHA-256", () => password("scram-sha-256", "order", passwordOf.order)],
    ["by SCRAM-SHA-512", () => stolen("order")],
    ["by its certificate", certificate],
    [
      "by a token from a file",
      async () => {
        writeFileSync(tokenFile, await issuer.token("order"));
        return { ...bearer(), KAFKA_OAUTH_TOKEN_FILE: tokenFile };
      },
    ],
    ["by a token of the token endpoint", () => client(clientSecret)],
  ];

  test.each(ways)(
    "%s: it may write its own topic, and not another one",
    async (_, env) => {
      const topics = [deadLetterTopic("order"), topicNamed("inventory.events")];
      expect(await refused(await env(), topics)).toEqual({ "inventory.events": FORBIDDEN });
    },
    LIMIT_MS,
  );
});

const bearer = (): Env => ({
  KAFKA_BROKERS: `localhost:${ports.sasl}`,
  ...trust(),
  KAFKA_SASL_MECHANISM: "oauthbearer",
});

function client(secret: string): Env {
  return {
    ...bearer(),
    KAFKA_OAUTH_TOKEN_URL: issuer.tokenUrl,
    KAFKA_OAUTH_CLIENT_ID: "order",
    KAFKA_OAUTH_CLIENT_SECRET: secret,
  };
}

test(
  "a connection is authenticated anew before its session ends, while it is used",
  async () => {
    const own = deadLetterTopic("order");
    const transport = kafkaTransport(settingsOf(client(clientSecret)), [own], systemRuntime, silentLogger);
    await transport.publish([record(own.name)]);
    const before = issuer.requests;
    await eventually(async () => {
      await transport.publish([record(own.name)]);
      return issuer.requests > before;
    }, "another token to be requested");
    await transport.publish([record(own.name)]);
    await transport.close();
  },
  LIMIT_MS,
);

describe("with the credentials of a service", () => {
  test.each(serviceNames)(
    "%s: no topic can be written but its own",
    async (name) => {
      const rights = await rightsOf(name);
      const own = new Set(rights.flatMap((right) => (right.operation === "WRITE" ? [right.name] : [])));
      const foreignTopics = storeTopics.filter((topic) => !own.has(topic.name));
      expect(foreignTopics.length).toBeGreaterThan(4);
      const all = Object.fromEntries(foreignTopics.map((topic) => [topic.name, FORBIDDEN]));
      expect(await refused(stolen(name), foreignTopics)).toEqual(all);
    },
    LIMIT_MS,
  );

  test(
    "no other topic can be read, no other group joined, no topic and no right made or deleted",
    async () => {
      const made = new KafkaClient(settingsOf(stolen("notification")), silentLogger);
      const admin = made.kafka.admin({ retry: { retries: 0 } });
      await admin.connect();
      expect(await failureOf(admin.fetchTopicOffsets("order.commands"))).toMatch(/authoriz/i);
      expect(await failureOf(admin.deleteTopics({ topics: ["order.events"] }))).toMatch(/authoriz/i);
      const created = admin.createTopics({ topics: [{ topic: "mine" }], waitForLeaders: false });
      expect(await created.then(String, (error: unknown) => JSON.stringify(error))).toMatch(/authoriz/i);
      const acl = right("notification", "ALL", "TOPIC", "*");
      expect(await failureOf(admin.createAcls({ acl: [acl] }))).toMatch(/authoriz/i);
      const consumer = made.kafka.consumer({ groupId: "order", retry: { retries: 0 } });
      await consumer.connect();
      await consumer.subscribe({ topic: "order.events" });
      const crashed = Promise.withResolvers<string>();
      consumer.on(consumer.events.CRASH, ({ payload }) => crashed.resolve(errorText(payload.error)));
      const run = consumer.run({ eachMessage: async () => {} }).catch(errorText);
      expect((await Promise.race([crashed.promise, run])) ?? (await crashed.promise)).toMatch(/authoriz/i);
      made.destroy();
    },
    LIMIT_MS,
  );
});

test(
  "a signing key and an order at price 0 on the topics that stolen credentials may write are parked by every reader",
  async () => {
    const currency = "EUR";
    const item = { productId: "PRODUCT_001", quantity: 1, unitPrice: { amount: 0, currency } };
    const order = { orderId: "FREE", customerId: "MALLORY", items: [item], total: { amount: 0, currency } };
    const publicKey = { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) };
    const attacks = [
      { thief: "inventory", topic: "inventory.events", definition: PlaceOrder, subject: "FREE", data: order },
      {
        thief: "order",
        topic: "order.events",
        definition: SigningKeyPublished,
        subject: "FORGED",
        data: { keyId: "FORGED", publicKey },
      },
    ] as const;
    const { authorization: headers } = await store.signIn("ADMIN", "admin");
    for (const { thief, topic, definition, subject, data } of attacks) {
      const value = JSON.stringify(cloudEvent({ type: definition.type, subject, data }));
      const written = { ...record(topic), key: subject, value };
      const transport = kafkaTransport(
        settingsOf(stolen(thief)),
        [topicNamed(topic)],
        systemRuntime,
        silentLogger,
      );
      await transport.publish([written]);
      await transport.close();
      for (const reader of serviceNames) {
        const rights = (await rightsOf(reader)).filter(({ operation }) => operation === "READ");
        const reads = new Set(rights.map(({ name }) => name));
        if (!reads.has(topic)) continue;
        // A service knows the messages of the topics that it reads.
        const expected = reads.has(definition.topic.name) ? "wrong-topic" : "unknown-type";
        await eventually(async () => {
          const answer = await store.request(reader, "/dead-letters", { headers });
          const parked = read(DeadLetters, answer);
          return parked.some(({ key, reason }) => key === subject && reason === expected);
        }, `${reader} to park ${definition.type}`);
      }
    }
    const customer = await store.signIn("MALLORY");
    expect(await customer.allOrders()).toEqual([]);
  },
  LIMIT_MS,
);

describe("a connection that is refused", () => {
  const unusable: [string, () => Env | Promise<Env>, RegExp][] = [
    ["a wrong password (PLAIN)", () => plain("order", "hunter2"), /SASL PLAIN authentication failed/],
    [
      "a wrong password (SCRAM)",
      () => password("scram-sha-512", "order", "hunter2"),
      /SASL SCRAM SHA512 authentication failed/,
    ],
    [
      "a token for another audience",
      async () => {
        const file = join(folder, "foreign-token");
        writeFileSync(file, await issuer.token("order", "somebody-else"));
        return { ...bearer(), KAFKA_OAUTH_TOKEN_FILE: file };
      },
      /SASL OAUTHBEARER authentication failed: invalid_token/,
    ],
    [
      "a token that another key signed",
      async () => {
        const { privateKey } = await generateKeyPair("RS256");
        const file = join(folder, "forged-token");
        writeFileSync(file, await signed(privateKey, "order", AUDIENCE));
        return { ...bearer(), KAFKA_OAUTH_TOKEN_FILE: file };
      },
      /SASL OAUTHBEARER authentication failed: invalid_token/,
    ],
    [
      "a token that is none",
      () => {
        const file = join(folder, "no-token");
        writeFileSync(file, "hunter2");
        return { ...bearer(), KAFKA_OAUTH_TOKEN_FILE: file };
      },
      /SASL OAUTHBEARER authentication failed: invalid_token/,
    ],
    ["a wrong client secret", () => client("hunter2"), /cannot get a token from http.*: .*\(?401\)?/],
    [
      "a mechanism that the listener does not have",
      () => ({
        ...plain("order", passwordOf.order),
        KAFKA_BROKERS: kafka.brokers.join(),
        KAFKA_SSL: "false",
        KAFKA_SSL_CA_FILE: "",
        KAFKA_SASL_MECHANISM: "scram-sha-512",
      }),
      /The broker does not support the requested SASL mechanism/,
    ],
    [
      "another CA",
      () => ({ ...stolen("order"), KAFKA_SSL_CA_FILE: foreign.cert }),
      /unable to verify the first certificate/,
    ],
    [
      "another host name than the certificate's",
      () => ({ ...stolen("order"), KAFKA_BROKERS: `127.0.0.1:${ports.sasl}` }),
      /Hostname\/IP does not match certificate's altnames/,
    ],
    [
      "no client certificate",
      () => ({ KAFKA_BROKERS: `localhost:${ports.mutual}`, ...trust() }),
      /ALERT|Closed connection/,
    ],
    [
      "no TLS",
      () => ({ ...stolen("order"), KAFKA_SSL: "false", KAFKA_SSL_CA_FILE: "" }),
      /Closed connection|ECONNRESET|[Tt]imed? ?out/,
    ],
  ];

  test.each(unusable)(
    "%s: the reason is one line, and it is tried again",
    async (_, env, reason) => {
      const own = deadLetterTopic("order");
      const warnings: string[] = [];
      const failures: string[] = [];
      const log: Logger = {
        ...silentLogger,
        debug: (fields) => "err" in fields && failures.push(errorText(fields.err)),
        warn: (_, line) => warnings.push(line),
      };
      const transport = kafkaTransport(settingsOf(await env()), [own], systemRuntime, log);
      const handle = async (batch: Batch) => ({ next: batch.records.length });
      const subscription = transport.subscribe({
        group: "order",
        topics: ["order.commands"],
        startAt: () => 0,
        handle,
      });
      const failure = await failureOf(transport.publish([record(own.name)]));
      expect(failure).toMatch(reason);
      expect(failure).not.toContain("\n");
      expect(failure).not.toContain("hunter2");
      // The first failure, and the second.
      await eventually(() => failures.length >= 2, "the consumer to be tried again");
      for (const line of [...failures, ...warnings]) expect(line).toMatch(reason);
      expect(warnings.length).toBeGreaterThan(0);
      expect(subscription.healthy()).toBe(false);
      await subscription.stop();
      await transport.close();
    },
    LIMIT_MS,
  );

  test(
    "a service that runs takes a new password from its file, without a restart",
    async () => {
      const notification = supervisor.process("notification");
      await notification.stop();
      writeFileSync(passwordFile("notification"), "hunter2\n");
      const from = logged.length;
      const ready = notification.start();
      const isReported = (line: string) =>
        line.includes("not consuming") && line.includes("authentication failed");
      await eventually(() => logged.slice(from).some(isReported), "the reason to be logged");
      const { pid } = notification;
      writeFileSync(passwordFile("notification"), passwordOf.notification);
      await ready;
      expect(notification.pid).toBe(pid);
    },
    LIMIT_MS,
  );

  test("no log line has a password", () => {
    expect(logged.length).toBeGreaterThan(20);
    const secrets = [...Object.values(passwordOf), "hunter2"];
    expect(logged.filter((line) => secrets.some((secret) => line.includes(secret)))).toEqual([]);
  });
});
