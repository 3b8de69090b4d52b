import type { KafkaSettings, SaslCredentials, TlsCredentials } from "@distributed-messaging/messaging/kafka";
import { clientCredentials } from "./oauth.ts";
import { readSetting, secretOf } from "./secrets.ts";

/** The settings by which a process and the brokers authenticate each other. `commonSettings` describes them. */
interface BrokerAccess {
  readonly KAFKA_BROKERS: readonly string[];
  readonly KAFKA_SSL: boolean;
  readonly KAFKA_SSL_CA_FILE?: string;
  readonly KAFKA_SSL_CERT_FILE?: string;
  readonly KAFKA_SSL_KEY_FILE?: string;
  readonly KAFKA_SSL_KEY_PASSWORD?: string;
  readonly KAFKA_SSL_KEY_PASSWORD_FILE?: string;
  readonly KAFKA_SASL_MECHANISM?: SaslCredentials["mechanism"];
  readonly KAFKA_SASL_USERNAME?: string;
  readonly KAFKA_SASL_PASSWORD?: string;
  readonly KAFKA_SASL_PASSWORD_FILE?: string;
  readonly ALLOW_INSECURE: readonly string[];
  readonly KAFKA_OAUTH_TOKEN_FILE?: string;
  readonly KAFKA_OAUTH_TOKEN_URL?: string;
  readonly KAFKA_OAUTH_CLIENT_ID?: string;
  readonly KAFKA_OAUTH_CLIENT_SECRET?: string;
  readonly KAFKA_OAUTH_CLIENT_SECRET_FILE?: string;
  readonly KAFKA_OAUTH_SCOPE?: string;
}

/** The same settings before they are known to be valid. */
export type Unchecked = Readonly<Partial<Record<keyof BrokerAccess, unknown>>>;
export type Setting = keyof BrokerAccess;

/** How to connect to the brokers. Files are read again for each connection. */
export function brokerCredentials(config: BrokerAccess): Pick<KafkaSettings, "ssl" | "sasl"> {
  const sasl = saslOf(config);
  return { ssl: config.KAFKA_SSL && tlsOf(config), ...(sasl === undefined ? {} : { sasl }) };
}

function tlsOf(config: BrokerAccess): true | (() => TlsCredentials) {
  const { KAFKA_SSL_CA_FILE: ca, KAFKA_SSL_CERT_FILE: cert, KAFKA_SSL_KEY_FILE: key } = config;
  if (ca === undefined && cert === undefined) return true;
  const passphrase = secretOf(config, "KAFKA_SSL_KEY_PASSWORD");
  return () => ({
    ...(ca === undefined ? {} : { ca: readSetting("KAFKA_SSL_CA_FILE", ca) }),
    ...(cert === undefined ? {} : { cert: readSetting("KAFKA_SSL_CERT_FILE", cert) }),
    ...(key === undefined ? {} : { key: readSetting("KAFKA_SSL_KEY_FILE", key) }),
    ...(passphrase === undefined ? {} : { passphrase: passphrase() }),
  });
}

function saslOf(config: BrokerAccess): SaslCredentials | undefined {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username } = config;
  if (mechanism === "oauthbearer") {
    const token = tokenOf(config);
    return token && { mechanism, token };
  }
  const password = secretOf(config, "KAFKA_SASL_PASSWORD");
  if (mechanism === undefined || username === undefined || password === undefined) return undefined;
  return { mechanism, username, password };
}

function tokenOf(config: BrokerAccess): (() => Promise<string>) | undefined {
  const { KAFKA_OAUTH_TOKEN_FILE: file, KAFKA_OAUTH_TOKEN_URL: url, KAFKA_OAUTH_SCOPE: scope } = config;
  if (file !== undefined) return async () => readSetting("KAFKA_OAUTH_TOKEN_FILE", file).trim();
  const clientSecret = secretOf(config, "KAFKA_OAUTH_CLIENT_SECRET");
  const clientId = config.KAFKA_OAUTH_CLIENT_ID;
  if (url === undefined || clientId === undefined || clientSecret === undefined) return undefined;
  return clientCredentials({ url, clientId, clientSecret, ...(scope === undefined ? {} : { scope }) });
}

/** Each may be in a file, which the setting of that name and `_FILE` names. */
export type Secret = "KAFKA_SSL_KEY_PASSWORD" | "KAFKA_SASL_PASSWORD" | "KAFKA_OAUTH_CLIENT_SECRET";
