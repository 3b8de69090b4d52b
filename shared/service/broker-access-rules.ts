import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Secret, Setting, Unchecked } from "./broker-access.ts";
import { isLoopback, isProtected } from "./loopback.ts";
import { codeOf, problemsOf, readSetting, secretOf, secretProblems } from "./secrets.ts";

const SECRETS: readonly Secret[] = [
  "KAFKA_SSL_KEY_PASSWORD",
  "KAFKA_SASL_PASSWORD",
  "KAFKA_OAUTH_CLIENT_SECRET",
];

/** A line for each setting of the broker access that is missing, in vain, unsafe, or whose file is of no use. */
export function brokerAccessProblems(config: Unchecked): string[] {
  return [
    ...saslProblems(config),
    ...exposureProblems(config),
    ...vainTlsProblems(config),
    ...secretProblems(config, SECRETS),
    ...fileProblems(config),
  ];
}

/** Settings of which each needs the others; a secret may be in a file. */
const PASSWORD = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] as const;
const CLIENT = ["KAFKA_OAUTH_TOKEN_URL", "KAFKA_OAUTH_CLIENT_ID", "KAFKA_OAUTH_CLIENT_SECRET"] as const;
const CERTIFICATE = ["KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"] as const;

function saslProblems(config: Unchecked): string[] {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_OAUTH_TOKEN_FILE: file } = config;
  const ofPassword: readonly Setting[] = ["KAFKA_SASL_USERNAME", ...both("KAFKA_SASL_PASSWORD")];
  const ofClient: readonly Setting[] = [
    "KAFKA_OAUTH_TOKEN_URL",
    "KAFKA_OAUTH_CLIENT_ID",
    ...both("KAFKA_OAUTH_CLIENT_SECRET"),
    "KAFKA_OAUTH_SCOPE",
  ];
  if (mechanism !== "oauthbearer") {
    return [
      ...incomplete(config, PASSWORD),
      ...vain(config, ["KAFKA_OAUTH_TOKEN_FILE", ...ofClient], "KAFKA_SASL_MECHANISM is not oauthbearer"),
    ];
  }
  const needs =
    "KAFKA_OAUTH_TOKEN_URL: is not set, and neither is KAFKA_OAUTH_TOKEN_FILE; oauthbearer needs one";
  return [
    ...vain(config, ofPassword, "KAFKA_SASL_MECHANISM is oauthbearer"),
    ...(file === undefined
      ? isSet(config, "KAFKA_OAUTH_TOKEN_URL")
        ? incomplete(config, CLIENT)
        : [needs]
      : vain(config, ofClient, "KAFKA_OAUTH_TOKEN_FILE is, too")),
  ];
}

/** A password or a token is sent as it is to who may read on the way. SCRAM sends no password (RFC 5802). */
function exposureProblems(config: Unchecked): string[] {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_BROKERS: brokers, KAFKA_OAUTH_TOKEN_URL: url } = config;
  if (Array.isArray(config.ALLOW_INSECURE) && config.ALLOW_INSECURE.includes("sasl-without-tls")) return [];
  const problems: string[] = [];
  const isBare = mechanism === "plain" || mechanism === "oauthbearer";
  if (isBare && config.KAFKA_SSL !== true && Array.isArray(brokers)) {
    const remote = brokers.map(String).filter((broker) => !isLoopback(hostOf(broker)));
    const sent = mechanism === "plain" ? "the password" : "the token";
    if (remote.length > 0) {
      problems.push(
        `KAFKA_SASL_MECHANISM: ${mechanism} sends ${sent} readable to ${remote.join(", ")}: set KAFKA_SSL=true, or ` +
          "ALLOW_INSECURE=sasl-without-tls if that is wanted",
      );
    }
  }
  // One that is no http URL has its own line.
  if (typeof url === "string" && /^https?:/.test(url) && !isProtected(url)) {
    problems.push(
      "KAFKA_OAUTH_TOKEN_URL: the client secret would be sent readable: expected https, or " +
        "ALLOW_INSECURE=sasl-without-tls if that is wanted",
    );
  }
  return problems;
}

/** @param broker `host:port` or `[address]:port` */
function hostOf(broker: string): string {
  return broker.replace(/:\d+$/, "").replace(/^\[|]$/g, "");
}

function vainTlsProblems(config: Unchecked): string[] {
  const ofKey = both("KAFKA_SSL_KEY_PASSWORD");
  if (config.KAFKA_SSL !== true)
    return vain(config, ["KAFKA_SSL_CA_FILE", ...CERTIFICATE, ...ofKey], "KAFKA_SSL is not true");
  const problems = incomplete(config, CERTIFICATE);
  return isSet(config, "KAFKA_SSL_KEY_FILE")
    ? problems
    : [...problems, ...vain(config, ofKey, "KAFKA_SSL_KEY_FILE is not")];
}

/** Certificates and keys that cannot be used, at the start rather than at the first connection. */
function fileProblems(config: Unchecked): string[] {
  if (config.KAFKA_SSL !== true) return tokenFileProblems(config);
  const { KAFKA_SSL_CA_FILE: ca, KAFKA_SSL_CERT_FILE: cert, KAFKA_SSL_KEY_FILE: key } = config;
  const problems: string[] = [];
  let own: X509Certificate | undefined;
  if (typeof ca === "string")
    problems.push(...problemsOf("KAFKA_SSL_CA_FILE", () => certificatesIn("KAFKA_SSL_CA_FILE", ca)));
  if (typeof cert === "string") {
    problems.push(
      ...problemsOf("KAFKA_SSL_CERT_FILE", () => {
        own = certificatesIn("KAFKA_SSL_CERT_FILE", cert)[0];
      }),
    );
  }
  if (typeof key === "string") {
    problems.push(
      ...problemsOf("KAFKA_SSL_KEY_FILE", () => {
        const privateKey = privateKeyIn(key, secretOf(config, "KAFKA_SSL_KEY_PASSWORD"));
        if (own?.checkPrivateKey(privateKey) === false)
          throw new Error("is not the key of the certificate in KAFKA_SSL_CERT_FILE");
      }),
    );
  }
  return [...problems, ...tokenFileProblems(config)];
}

function tokenFileProblems({ KAFKA_OAUTH_TOKEN_FILE: file }: Unchecked): string[] {
  if (typeof file !== "string") return [];
  return problemsOf("KAFKA_OAUTH_TOKEN_FILE", () => {
    if (readSetting("KAFKA_OAUTH_TOKEN_FILE", file).trim() === "") throw new Error("is empty");
  });
}

function certificatesIn(setting: Setting, file: string): X509Certificate[] {
  const blocks =
    readSetting(setting, file).match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error("has no certificate in PEM");
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    throw new Error("has a certificate that cannot be decoded");
  }
}

function privateKeyIn(file: string, passphrase: (() => string) | undefined): KeyObject {
  const key = readSetting("KAFKA_SSL_KEY_FILE", file);
  try {
    return createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase: passphrase() }) });
  } catch (error) {
    const code = codeOf(error);
    if (code === "ERR_MISSING_PASSPHRASE")
      throw new Error("is encrypted, and KAFKA_SSL_KEY_PASSWORD is not set");
    if (code === "ERR_OSSL_BAD_DECRYPT") throw new Error("cannot be decrypted with KAFKA_SSL_KEY_PASSWORD");
    throw new Error("has no private key in PEM");
  }
}

function both<Name extends Secret>(name: Name) {
  return [name, `${name}_FILE`] as const;
}

function isSet(config: Unchecked, name: Setting): boolean {
  if (config[name] !== undefined) return true;
  const secret = SECRETS.find((one) => one === name);
  return secret !== undefined && config[`${secret}_FILE`] !== undefined;
}

/** Of settings that belong together, a line for each that is missing when others are set. */
function incomplete(config: Unchecked, names: readonly Setting[]): string[] {
  const set = names.filter((name) => isSet(config, name));
  if (set.length === 0) return [];
  return names
    .filter((name) => !set.includes(name))
    .map((name) => `${name}: is not set, but ${set.join(" and ")} ${set.length > 1 ? "are" : "is"}`);
}

function vain(config: Unchecked, names: readonly Setting[], because: string): string[] {
  return names.filter((name) => config[name] !== undefined).map((name) => `${name}: is set, but ${because}`);
}
