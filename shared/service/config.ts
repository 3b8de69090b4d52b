import { escapeInvisible, INSTANCE_PATTERN } from "@distributed-messaging/messaging";
import type { KafkaSettings } from "@distributed-messaging/messaging/kafka";
import { type Static, type TObject, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { brokerCredentials } from "./broker-access.ts";
import { brokerAccessProblems } from "./broker-access-rules.ts";
import { issuerProblems } from "./issuer-rules.ts";
import { isLoopback } from "./loopback.ts";
import { secretProblems } from "./secrets.ts";

/** Settings are invalid. `problems` has one line for each of them; no line shows a secret. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

/** Returns a line for each violation. The settings may be invalid. */
type ConfigRule = (config: Readonly<Record<string, unknown>>) => readonly string[];

/** Environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Options of a setting's schema that JSON Schema does not have. Its `description` is in docs/settings.md.
 *
 * - `expected`: completes "expected …" when the value is invalid
 * - `secret`: the value is never shown
 * - `unit: "duration"`: `24h`, `500ms` → milliseconds
 * - `defaultFrom`: in place of `default`, from the settings before it
 */
interface SettingOptions {
  expected?: string;
  secret?: boolean;
  unit?: "duration";
  defaultFrom?: (before: Readonly<Record<string, unknown>>) => unknown;
}

/**
 * Reads settings from the environment into the types of the schema, whose property names are the names of the
 * variables. An unset or empty variable takes the schema's default. Numbers, booleans ("true", "false"),
 * comma-separated lists and durations (→ milliseconds) are converted.
 *
 * @param rules checks of several settings together; those of `commonSettings` by default
 * @throws ConfigError that names every invalid setting
 */
export function loadConfig<Schema extends TObject>(
  schema: Schema,
  env: Environment,
  appName: string,
  rules: readonly ConfigRule[] = [
    brokerPortProblems,
    brokerAccessProblems,
    topicReplicationProblems,
    advertisedProblems,
    snapshotProblems,
    insecureProblems,
    signingKeyProblems,
    issuerProblems,
    retentionProblems,
  ],
): Readonly<Static<Schema>> {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, property] of Object.entries<TSchema & SettingOptions>(schema.properties)) {
    const raw = env[name]?.trim();
    if (raw === undefined || raw === "") {
      if (property.defaultFrom !== undefined) config[name] = property.defaultFrom(config);
      else if (property.default !== undefined) config[name] = structuredClone(property.default);
      else if (schema.required?.includes(name)) problems.push(`${name}: is not set, ${appName} needs it`);
      continue;
    }
    const value = convert(property, raw);
    config[name] = value;
    if (!Value.Check(property, value))
      problems.push(`${name}: expected ${expectation(property)}${shown(name, property, raw)}`);
  }
  for (const rule of rules) problems.push(...rule(config));
  if (problems.length > 0) throw new ConfigError(problems);
  // Sound: every property matches its own schema.
  return Object.freeze(config) as Readonly<Static<Schema>>;
}

/** The value of the text for this schema; the text itself when it has none, which the check then refuses. */
function convert(schema: TSchema & SettingOptions, raw: string): unknown {
  if (schema.unit === "duration") return durationToMs(raw) ?? raw;
  switch (schema.type) {
    case "integer":
    case "number":
      // Number("") is 0 and Number("0x10") is 16: as a port, both are mistakes.
      return /^[+-]?\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw;
    case "boolean":
      return raw === "true" ? true : raw === "false" ? false : raw;
    case "array":
      return raw.split(",").map((item) => convert(schema.items, item.trim()));
    default:
      return raw;
  }
}

/** What a value has to be, such as "an integer from 0 to 65535". */
export function expectation(schema: TSchema & SettingOptions): string {
  if (schema.expected !== undefined) return schema.expected;
  if (Array.isArray(schema.anyOf)) return `one of ${schema.anyOf.map((member) => member.const).join(", ")}`;
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "integer" || schema.type === "number") {
    const noun = schema.type === "integer" ? "an integer" : "a number";
    const { minimum, maximum } = schema;
    if (minimum !== undefined && maximum !== undefined) return `${noun} from ${minimum} to ${maximum}`;
    if (minimum !== undefined) return `${noun}, at least ${minimum}`;
    return maximum === undefined ? noun : `${noun}, at most ${maximum}`;
  }
  if (schema.type === "array") return `a comma separated list, each ${expectation(schema.items)}`;
  return schema.pattern === undefined ? "a text" : `a text that matches ${schema.pattern}`;
}

const SECRET_NAME = /PASSWORD|SECRET|TOKEN|PRIVATE|CREDENTIAL/;

function shown(name: string, schema: SettingOptions, raw: string): string {
  // What is before an @ may be the credentials of a URL (RFC 3986 §3.2.1), in whichever setting somebody put it.
  const isSecret = schema.secret === true || SECRET_NAME.test(name) || raw.includes("@");
  if (isSecret) return " (the value is not shown)";
  // In a terminal, a control character can hide the rest of the line.
  const visible = escapeInvisible(raw).replaceAll("\n", "\\n");
  return `, got '${visible.length > 80 ? `${visible.slice(0, 80)}…` : visible}'`;
}

/** One of some words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(
  words: Words,
  options: { readonly default?: Words[number]; readonly description?: string } = {},
) {
  return Type.Unsafe<Words[number]>(
    Type.Union(
      words.map((word) => Type.Literal(word)),
      options,
    ),
  );
}

/** A TCP port; with 0 the system chooses a free one. */
export function Port(fallback: number, description?: string) {
  return Type.Integer({
    minimum: 0,
    maximum: 65_535,
    default: fallback,
    ...(description === undefined ? {} : { description }),
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `15m`, `24h`, `7d`, `1.5h` → whole milliseconds; undefined for anything else. */
export function durationToMs(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text);
  const unitMs = UNIT_MS[match?.[2] ?? ""];
  return match === null || unitMs === undefined ? undefined : Math.round(Number(match[1]) * unitMs);
}

/** A hundred years: with a longer duration, `now + duration` may not be a valid date. */
const MAX_DURATION_MS = 36_525 * 86_400_000;

/**
 * A setting that is written as a duration and read as milliseconds.
 *
 * @param fallback the default, written as a duration (`24h`)
 * @param options the bounds are in milliseconds
 */
export function Duration(
  fallback: string,
  options: { minimum?: number; maximum?: number; description?: string } = {},
) {
  const defaultMs = durationToMs(fallback);
  if (defaultMs === undefined) throw new TypeError(`not a duration: ${fallback}`);
  const { minimum = 0, maximum = MAX_DURATION_MS, ...rest } = options;
  const range = `from ${formatDuration(minimum)} to ${formatDuration(maximum)}`;
  return Type.Integer({
    minimum,
    maximum,
    default: defaultMs,
    unit: "duration",
    expected: `a duration ${range}, such as 500ms, 30s, 15m, 24h or 7d`,
    ...rest,
  });
}

/** The same without a default. */
function OptionalDuration(description: string) {
  const { default: _, ...schema } = Duration("1s", { minimum: 1_000, description });
  return Type.Optional(Type.Integer(schema));
}

/** Milliseconds → `24h`, in the largest unit that has no fraction. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const unitMs = UNIT_MS[unit];
    if (unitMs !== undefined && ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}

/** What makes a demonstration easy, and what anybody who reaches it could abuse. */
export const insecureFeatures = ["demo-sign-in", "automation-testing", "supervisor"] as const;
export type InsecureFeature = (typeof insecureFeatures)[number];

export const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** A URL may contain credentials. */
const HttpUrl = (description: string) =>
  Type.String({
    pattern: "^https?://[^\\s/]+(/\\S*)?$",
    expected: "an http or https URL",
    secret: true,
    description,
  });

const Text = (fallback: string, description: string) =>
  Type.String({ minLength: 1, default: fallback, description });
const OptionalText = (description: string) => Type.Optional(Type.String({ description }));
const Path = (fallback: string, description: string) =>
  Type.String({ minLength: 1, default: fallback, expected: "a path", description });
const OptionalFile = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, expected: "a path", description }));
const OptionalSecret = (description: string) => Type.Optional(Type.String({ secret: true, description }));

/** A host without a port. */
const AllowedHost = Type.String({
  pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)$",
  expected: "a host name or address without a port",
});
const Origin = Type.String({
  pattern: "^https?://(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$",
  expected: "scheme://host or scheme://host:port",
});

/**
 * The settings of every service, to be spread into the `Type.Object` of its own. `bun run settings` writes the
 * descriptions to docs/settings.md.
 */
/** The values of OTEL_TRACES_SAMPLER that OpenTelemetry's SDK has. */
const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

export const commonSettings = {
  HOST: Type.String({
    pattern: "^[A-Za-z0-9.:_-]+$",
    default: "127.0.0.1",
    expected: "a host name or address",
    description: "where the service listens for HTTP",
  }),
  ALLOWED_HOSTS: Type.Array(AllowedHost, {
    default: [],
    description: "host names that the service answers to, beside the loopback names, its own name and HOST",
  }),
  ALLOWED_ORIGINS: Type.Array(Origin, {
    default: [],
    description: "origins whose pages may send requests, beside the service's own",
  }),
  ALLOW_INSECURE: Type.Array(oneOf([...insecureFeatures, "sasl-without-tls"]), {
    default: [],
    description:
      "what may be on in production or on an address that others reach, although they could abuse it",
  }),
  DATA_DIR: Path(".data", "the directory of the databases and keys, and of the embedded broker's records"),
  LOG_LEVEL: oneOf(logLevels, { default: "info", description: "the least severe lines that are logged" }),
  DRAIN: Duration("0s", {
    maximum: 300_000,
    description:
      "for how long a service that was told to stop is not ready and answers as before, so that load balancers send nothing to it when it ends",
  }),
  AUTOMATION_TESTING: Type.Boolean({
    default: false,
    description:
      "the requests under /automation-testing that add demo products and delete all; npm start sets true",
  }),
  SQLITE_SYNCHRONOUS: oneOf(["OFF", "NORMAL", "FULL", "EXTRA"], {
    default: "FULL",
    description:
      "PRAGMA synchronous of the database; only FULL and EXTRA keep what was acknowledged over a power cut",
  }),
  INBOX_RETENTION: Duration("7d", {
    minimum: 60_000,
    description: "how long the inbox remembers a message, to recognise it when it is delivered again",
  }),
  ORDER_RETENTION: OptionalDuration(
    "for how long an order is kept after it was confirmed, rejected or cancelled for good; unset: for ever. The topics of events are kept twice as long",
  ),
  NOTIFICATION_RETENTION: OptionalDuration("for how long a notification is kept; unset: for ever"),
  GAPS: oneOf(["stop", "continue"], {
    default: "stop",
    description: "what happens where retention removed records before they were read",
  }),
  OUTBOX_LIMIT: Type.Integer({
    minimum: 1,
    maximum: 1_000_000_000,
    default: 100_000,
    description: "unsent messages above which the gateway answers 503 to requests that add more",
  }),
  BROKER_PORT: Port(9092, "the port of the embedded broker on this machine: the default of KAFKA_BROKERS"),
  KAFKA_BROKERS: Type.Array(
    Type.String({
      pattern:
        "^(\\[[0-9A-Fa-f:]+\\]|[A-Za-z0-9._-]+):(?!0+$)([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$",
      expected: "host:port",
    }),
    {
      minItems: 1,
      default: ["localhost:9092"],
      defaultFrom: ({ BROKER_PORT }: Readonly<Record<string, unknown>>) => [`localhost:${BROKER_PORT}`],
      description: "brokers of the cluster; unset, the embedded one at BROKER_PORT",
    },
  ),
  TOPICS: Type.Optional(
    oneOf(["create", "check"], {
      description:
        "what happens to missing topics; by default create, and check where NODE_ENV is production",
    }),
  ),
  TOPIC_REPLICATION: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 9,
      description: "replicas of a topic that is created; by default, the brokers decide",
    }),
  ),
  TOPIC_MIN_INSYNC_REPLICAS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 9,
      description: "min.insync.replicas of a topic that is created; by default, the brokers decide",
    }),
  ),
  NODE_ENV: Text("development", "production: nothing of the demonstration is on, and topics are not created"),
  KAFKA_SSL: Type.Boolean({ default: false, description: "TLS to the brokers" }),
  KAFKA_SSL_CA_FILE: OptionalFile("the CAs of the brokers' certificates, PEM; by default, the system's"),
  KAFKA_SSL_CERT_FILE: OptionalFile("the service's own certificate, PEM, for mutual TLS"),
  KAFKA_SSL_KEY_FILE: OptionalFile("its private key, PEM"),
  KAFKA_SSL_KEY_PASSWORD: OptionalSecret("decrypts the private key"),
  KAFKA_SSL_KEY_PASSWORD_FILE: OptionalFile("the same, in a file"),
  KAFKA_SASL_MECHANISM: Type.Optional(
    oneOf(["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"], {
      description: "how the service authenticates itself at the brokers; unset: not with SASL",
    }),
  ),
  KAFKA_SASL_USERNAME: OptionalText("for plain and scram"),
  KAFKA_SASL_PASSWORD: OptionalSecret("for plain and scram"),
  KAFKA_SASL_PASSWORD_FILE: OptionalFile("the same, in a file, which is read for each connection"),
  KAFKA_OAUTH_TOKEN_FILE: OptionalFile("for oauthbearer: a token, which is read for each connection"),
  KAFKA_OAUTH_TOKEN_URL: Type.Optional(
    HttpUrl("for oauthbearer: the token endpoint (RFC 6749, client credentials)"),
  ),
  KAFKA_OAUTH_CLIENT_ID: OptionalText("the client at the token endpoint"),
  KAFKA_OAUTH_CLIENT_SECRET: OptionalSecret("its secret"),
  KAFKA_OAUTH_CLIENT_SECRET_FILE: OptionalFile("the same, in a file"),
  KAFKA_OAUTH_SCOPE: OptionalText("the scope that the token endpoint is asked for"),
  AUTH_JWKS_URL: Type.Optional(
    Type.String({
      pattern: "^https?://[^\\s/@]+(/\\S*)?$",
      expected: "an http or https URL without credentials",
      secret: true,
      description:
        "where the issuer of the tokens publishes its keys; by default, they are in AUTH_JWKS_FILE",
    }),
  ),
  AUTH_JWKS_FILE: OptionalFile("the keys that verify tokens; by default jwks.json in DATA_DIR"),
  OPERATOR_KEY_FILE: OptionalFile("the operators' key; by default operator.jwk in DATA_DIR"),
  AUTH_ISSUER: Type.Optional(
    Type.String({
      pattern: "^https?://[^\\s/?#@]+(/[^\\s?#]*)?$",
      expected: "an http or https URL without credentials, query and fragment",
      secret: true,
      description:
        "the `iss` of the only tokens that are accepted, as its metadata has it; by default, the store's own",
    }),
  ),
  AUTH_AUDIENCE: Type.Optional(Type.String({ minLength: 1, description: "the `aud` of these tokens" })),
  AUTH_ROLE_CLAIM: Text(
    "role",
    "where a token has its bearer's roles: the names of claims, one in the other, such as `realm_access.roles`",
  ),
  AUTH_ADMIN_ROLE: Text("admin", "the role of admins"),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    HttpUrl(
      "where traces are sent (OpenTelemetry, OTLP over HTTP), to `/v1/traces` below it; unset: nowhere",
    ),
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Type.Optional(HttpUrl("the same with the whole path, and before it")),
  OTEL_EXPORTER_OTLP_HEADERS: Type.Optional(
    Type.String({
      pattern: "^[^=,]+=[^,]*(,[^=,]+=[^,]*)*$",
      expected: "name=value pairs, separated by commas",
      secret: true,
      description: "headers of the exports, `authorization=Bearer%20…`",
    }),
  ),
  OTEL_RESOURCE_ATTRIBUTES: Type.Optional(
    Type.String({
      pattern: "^[^=,]+=[^,]*(,[^=,]+=[^,]*)*$",
      expected: "name=value pairs, separated by commas",
      description: "attributes of every span, `deployment.environment.name=production`",
    }),
  ),
  OTEL_SERVICE_NAME: Type.Optional(
    Type.String({
      minLength: 1,
      description: "the `service.name` of the spans; by default that of the service",
    }),
  ),
  OTEL_SDK_DISABLED: Type.Boolean({
    default: false,
    description: "no traces, whatever the other settings are",
  }),
  OTEL_TRACES_SAMPLER: Type.Optional(
    oneOf(samplers, {
      description:
        "which traces are recorded (OpenTelemetry's samplers); by default all, but for those that a caller does not record",
    }),
  ),
  OTEL_TRACES_SAMPLER_ARG: Type.Optional(
    Type.String({
      pattern: "^(0(\\.\\d+)?|1(\\.0+)?)$",
      expected: "a number from 0 to 1",
      description: "the part of the traces that a sampler by ratio records: `0.01` is one of a hundred",
    }),
  ),
  OTEL_BSP_MAX_QUEUE_SIZE: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: "spans that wait for an export, 2,048 by default; more are dropped and counted",
    }),
  ),
} as const;

const CommonConfig = Type.Object(commonSettings);
export type CommonConfig = Static<typeof CommonConfig>;

/** The settings of a service that may run as several instances, beside `commonSettings`. */
export const replicationSettings = {
  REPLICATION: oneOf(["off", "on"], {
    default: "off",
    description:
      "on: the service runs as several instances, each with a DATA_DIR of its own; one leads, and another one goes on when its machine is lost",
  }),
  ADVERTISED_URL: Type.Optional(
    HttpUrl("where the other instances reach the HTTP interface of this one; by default at HOST"),
  ),
  SNAPSHOTS: Type.Optional(
    Type.String({
      pattern: "^(s3://[a-z0-9][a-z0-9.-]*(/.*)?|(?![A-Za-z0-9+.-]*://).+)$",
      expected: "a folder or s3://bucket/prefix",
      description:
        "where snapshots of the databases are kept, behind which the change logs are trimmed: a folder that all instances see, or s3://bucket/prefix; unset: nowhere, and the logs are kept whole",
    }),
  ),
  SNAPSHOT_EVERY: Type.Integer({
    minimum: 1,
    maximum: 1_000_000_000,
    default: 100_000,
    description:
      "commits after which an instance that follows makes a snapshot; the one that leads after twice as many",
  }),
  AWS_ACCESS_KEY_ID: OptionalText("of SNAPSHOTS in S3"),
  AWS_SECRET_ACCESS_KEY: OptionalSecret("of SNAPSHOTS in S3"),
  AWS_SECRET_ACCESS_KEY_FILE: OptionalFile("the same, in a file, which is read for each request"),
  AWS_SESSION_TOKEN: OptionalSecret("of SNAPSHOTS in S3, with credentials for some time"),
  AWS_SESSION_TOKEN_FILE: OptionalFile("the same, in a file, which is read for each request"),
  AWS_REGION: OptionalText("of SNAPSHOTS in S3; by default us-east-1"),
  AWS_ENDPOINT: Type.Optional(
    HttpUrl("where the API of S3 is that SNAPSHOTS are kept with, if not at Amazon"),
  ),
};

const ReplicationConfig = Type.Object(replicationSettings);
export type ReplicationConfig = Static<typeof ReplicationConfig>;

/** The setting of a service of which several instances may work at the same time, beside `commonSettings`. */
export const instanceSettings = {
  INSTANCE: Type.Optional(
    Type.String({
      pattern: INSTANCE_PATTERN,
      expected: "1 to 32 lower-case letters, digits and hyphens, but not rebuild",
      description:
        "the name of this process, where several of the service work at the same time, each with a DATA_DIR of its own; it keeps its name",
    }),
  ),
};

/** The name of the instance that the settings make of the service, if they do. */
export function instanceOf(config: object): string | undefined {
  return "INSTANCE" in config && typeof config.INSTANCE === "string" ? config.INSTANCE : undefined;
}

/** Whether the settings make the service one of several instances; those of other services have no such setting. */
export function isReplicated(config: object): boolean {
  return "REPLICATION" in config && config.REPLICATION === "on";
}

/** The setting that gives a service's HTTP port: `ORDER_PORT` for `order`. */
export function portSetting(service: string): string {
  return `${service.toUpperCase().replaceAll("-", "_")}_PORT`;
}

/** Whether the spans of a process are exported: an endpoint is set, and the SDK is not disabled. */
export function recordsSpans(config: CommonConfig): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SDK_DISABLED } = config;
  return (
    !OTEL_SDK_DISABLED && (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? OTEL_EXPORTER_OTLP_ENDPOINT) !== undefined
  );
}

/** The HTTP port of a service in its configuration. @throws TypeError when its schema has no such setting */
export function portOf(service: string, config: object): number {
  const setting = portSetting(service);
  const port: unknown = Object.entries(config).find(([name]) => name === setting)?.[1];
  if (typeof port !== "number") throw new TypeError(`the settings of ${service} have no ${setting}`);
  return port;
}

/** How to connect to the broker. @param clientId the name that the broker sees */
export function kafkaSettings(clientId: string, config: CommonConfig): KafkaSettings {
  const { TOPICS, NODE_ENV, TOPIC_REPLICATION: replication } = config;
  const minInsyncReplicas = config.TOPIC_MIN_INSYNC_REPLICAS;
  return {
    clientId,
    brokers: config.KAFKA_BROKERS,
    ...brokerCredentials(config),
    topics: {
      create: (TOPICS ?? (NODE_ENV === "production" ? "check" : "create")) === "create",
      ...(replication === undefined ? {} : { replication }),
      ...(minInsyncReplicas === undefined ? {} : { minInsyncReplicas }),
    },
  };
}

function brokerPortProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { BROKER_PORT: port, KAFKA_BROKERS: brokers } = config;
  if (port !== 0 || !Array.isArray(brokers) || brokers[0] !== "localhost:0") return [];
  return ["BROKER_PORT: 0 is a free port, which only the broker knows; set KAFKA_BROKERS"];
}

/** With more in-sync replicas than replicas, no record could ever be written. */
function topicReplicationProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { TOPIC_REPLICATION: replication, TOPIC_MIN_INSYNC_REPLICAS: least } = config;
  if (typeof replication !== "number" || typeof least !== "number" || least <= replication) return [];
  return [`TOPIC_MIN_INSYNC_REPLICAS: expected at most TOPIC_REPLICATION, ${replication}, got '${least}'`];
}

/** Where a service that listens on every address is reached, only its operator knows. */
function advertisedProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { HOST, ADVERTISED_URL } = config;
  const isAny = HOST === "0.0.0.0" || HOST === "::";
  if (!isReplicated(config) || !isAny || ADVERTISED_URL !== undefined) return [];
  return [`ADVERTISED_URL: is not set, with REPLICATION=on it is needed where HOST is ${HOST}`];
}

/** Nothing can be kept in S3 without credentials. */
function snapshotProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const isInS3 = String(config.SNAPSHOTS).startsWith("s3://");
  if (!isReplicated(config) || !isInS3) return [];
  const isSet = (name: string) => (config[name] ?? config[`${name}_FILE`]) !== undefined;
  return [
    ...["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
      .filter((name) => !isSet(name))
      .map((name) => `${name}: is not set, SNAPSHOTS in S3 need it`),
    ...secretProblems(config, ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]),
  ];
}

/** Whoever verifies a token of one gateway knows no other gateway's key. */
function signingKeyProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { DEMO_SIGN_IN, AUTH_SIGNING_KEY, AUTH_SIGNING_KEY_FILE } = config;
  const isSet = (AUTH_SIGNING_KEY ?? AUTH_SIGNING_KEY_FILE) !== undefined;
  if (DEMO_SIGN_IN !== true || instanceOf(config) === undefined || isSet) return [];
  return ["AUTH_SIGNING_KEY: is not set, with DEMO_SIGN_IN and INSTANCE every gateway needs the same one"];
}

/** The topics keep what an order was placed with for twice `ORDER_RETENTION`: it may wait for half of that. */
function retentionProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { ORDER_RETENTION: retention, BACKORDER_TTL: ttl } = config;
  if (typeof retention !== "number" || typeof ttl !== "number" || ttl <= retention) return [];
  return [`ORDER_RETENTION: expected at least BACKORDER_TTL, ${formatDuration(ttl)}`];
}

/** What decides whether others reach a process. */
export interface Exposure {
  readonly NODE_ENV: string;
  readonly HOST: string;
  readonly ALLOW_INSECURE: readonly string[];
}

/** Which of these features others could abuse: in production, or where other machines reach the store, unless allowed by name. */
export function exposedFeatures(
  features: readonly InsecureFeature[],
  { NODE_ENV, HOST, ALLOW_INSECURE }: Exposure,
): readonly InsecureFeature[] {
  if (NODE_ENV !== "production" && isLoopback(HOST)) return [];
  return features.filter((feature) => !ALLOW_INSECURE.includes(feature));
}

const INSECURE_SWITCHES = [
  ["DEMO_SIGN_IN", "demo-sign-in", "with it, anybody signs in as anybody, admins included"],
  [
    "AUTOMATION_TESTING",
    "automation-testing",
    "with it, anybody adds demo products, and an admin deletes all",
  ],
] as const;

function insecureProblems(config: Readonly<Record<string, unknown>>): readonly string[] {
  const { NODE_ENV, HOST, ALLOW_INSECURE } = config;
  // A setting that is invalid has its own line.
  if (typeof NODE_ENV !== "string" || typeof HOST !== "string" || !Array.isArray(ALLOW_INSECURE)) return [];
  const on = INSECURE_SWITCHES.filter(([setting]) => config[setting] === true);
  const exposed = exposedFeatures(
    on.map(([, feature]) => feature),
    { NODE_ENV, HOST, ALLOW_INSECURE },
  );
  const where =
    NODE_ENV === "production" ? "NODE_ENV is production" : `HOST is ${HOST}, not a loopback address`;
  return on
    .filter(([, feature]) => exposed.includes(feature))
    .map(
      ([setting, feature, risk]) =>
        `${setting}: ${where}, and ${risk}; if that is wanted, ALLOW_INSECURE=${feature}`,
    );
}
