import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { type Broker, startBroker } from "@distributed-messaging/embedded-broker";
import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import {
  ConfigError,
  commonSettings,
  kafkaSettings,
  loadConfig,
} from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";
import {
  CertificateAuthority,
  type CertificateFiles,
  encryptKey,
  hasOpenssl,
} from "../support/certificates.ts";

/* The Kafka client of the kit over TLS, by the settings of a service. e2e/access-control/tls-and-sasl.ts has Apache Kafka. */

const THIS_MACHINE = "DNS:localhost,IP:127.0.0.1";
const folder = mkdtempSync(join(tmpdir(), "tls-"));
let broker: Broker;
let authority: CertificateAuthority;
let foreign: CertificateAuthority;
let server: CertificateFiles;
let client: CertificateFiles;

const cleanups: (() => unknown)[] = [];
beforeAll(async () => {
  broker = await startBroker({ dataDir: join(folder, "broker"), host: "127.0.0.1", port: 0 });
  if (!hasOpenssl) return;
  authority = await CertificateAuthority.create(join(folder, "authority"));
  foreign = await CertificateAuthority.create(join(folder, "foreign"));
  server = await authority.issue("server", { subject: "/CN=broker", names: THIS_MACHINE });
  client = await authority.issue("client", { subject: "/CN=order", names: "DNS:order" });
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Serves the broker with TLS. @returns its port, and who connected: the common name of the client, the name it asked for */
async function serve(files: CertificateFiles, options: tls.TlsOptions = {}) {
  const clients: { readonly name: string | undefined; readonly sni: string | undefined }[] = [];
  const listener = tls.createServer(
    { cert: readFileSync(files.cert), key: readFileSync(files.key), ...options },
    (socket) => {
      const { CN: name } = socket.getPeerCertificate().subject ?? {};
      clients.push({
        name: typeof name === "string" ? name : undefined,
        sni: socket.servername || undefined,
      });
      const upstream = connect(broker.port, broker.host);
      socket.on("error", () => upstream.destroy());
      upstream.on("error", () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    },
  );
  return { port: await listening(listener), clients };
}

async function listening(listener: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => listener.close());
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return address.port;
}

const load = (env: Record<string, string>) => loadConfig(Type.Object(commonSettings), env, "test");

/** A client by its settings, with the authority's certificate unless they name another. */
function clientOf(port: number, env: Record<string, string> = {}, host = "localhost"): KafkaClient {
  const all = {
    KAFKA_BROKERS: `${host}:${port}`,
    KAFKA_SSL: "true",
    KAFKA_SSL_CA_FILE: authority.cert,
    ...env,
  };
  const made = new KafkaClient(kafkaSettings("test", load(all)), silentLogger);
  cleanups.push(() => made.destroy());
  return made;
}

/** Connects once. @returns why that failed, or undefined */
async function refusal({ kafka }: KafkaClient): Promise<string | undefined> {
  const admin = kafka.admin({ retry: { retries: 0 } });
  try {
    await admin.connect();
    return undefined;
  } catch (error) {
    return errorText(error);
  } finally {
    await admin.disconnect();
  }
}

const own = (files: CertificateFiles) => ({
  KAFKA_SSL_CERT_FILE: files.cert,
  KAFKA_SSL_KEY_FILE: files.key,
});
const mutual = () => ({ ca: readFileSync(authority.cert), requestCert: true, rejectUnauthorized: true });

describe.skipIf(!hasOpenssl)("a broker", () => {
  test("of the own CA is accepted by its name and by its address", async () => {
    const { port, clients } = await serve(server);
    expect(await refusal(clientOf(port))).toBeUndefined();
    expect(await refusal(clientOf(port, {}, "127.0.0.1"))).toBeUndefined();
    expect(clients).toEqual([
      { name: undefined, sni: "localhost" },
      { name: undefined, sni: undefined },
    ]);
  });

  test("of another CA is refused, also where NODE_TLS_REJECT_UNAUTHORIZED is 0", async () => {
    const { port, clients } = await serve(server);
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    cleanups.push(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const reason = "Connection error: unable to verify the first certificate";
    expect(await refusal(clientOf(port, { KAFKA_SSL_CA_FILE: foreign.cert }))).toBe(reason);
    expect(clients).toEqual([]);
  });

  test("is not accepted by the CAs of the system alone", async () => {
    const { port } = await serve(server);
    const settings = kafkaSettings("test", load({ KAFKA_BROKERS: `localhost:${port}`, KAFKA_SSL: "true" }));
    const made = new KafkaClient(settings, silentLogger);
    cleanups.push(() => made.destroy());
    expect(await refusal(made)).toBe("Connection error: unable to verify the first certificate");
  });

  test.each(["localhost", "127.0.0.1"])("whose certificate is not for %s is refused", async (host) => {
    const other = await authority.issue("other", { subject: "/CN=localhost", names: "DNS:other.example" });
    const { port, clients } = await serve(other);
    expect(await refusal(clientOf(port, {}, host))).toStartWith(
      "Connection error: Hostname/IP does not match certificate's altnames",
    );
    expect(clients).toEqual([]);
  });

  test("whose certificate has expired is refused", async () => {
    const expired = await authority.issue("expired", { subject: "/CN=b", names: THIS_MACHINE, days: 0 });
    const { port } = await serve(expired);
    const reason = "Connection error: certificate has expired";
    await eventually(async () => (await refusal(clientOf(port))) === reason, "the refusal");
  });

  test("that does not speak TLS is refused", async () => {
    const failure = await refusal(clientOf(broker.port));
    expect(failure).toStartWith("Connection error: ");
  });
});

describe.skipIf(!hasOpenssl)("a client", () => {
  test("is known by its certificate, whose key may be encrypted", async () => {
    const { port, clients } = await serve(server, mutual());
    const key = await encryptKey(client.key, "hunter2");
    expect(await refusal(clientOf(port, own(client)))).toBeUndefined();
    const encrypted = { ...own({ ...client, key }), KAFKA_SSL_KEY_PASSWORD: "hunter2" };
    expect(await refusal(clientOf(port, encrypted))).toBeUndefined();
    expect(clients.map(({ name }) => name)).toEqual(["order", "order"]);
  });

  test("without a certificate, or with one of another CA, is refused", async () => {
    const { port, clients } = await serve(server, mutual());
    expect(await refusal(clientOf(port))).toBeDefined();
    const stranger = await foreign.issue("client", { subject: "/CN=order", names: "DNS:order" });
    expect(await refusal(clientOf(port, own(stranger)))).toBeDefined();
    expect(clients).toEqual([]);
  });

  test("uses renewed files at its next connection, and reports files that it cannot read", async () => {
    const { port, clients } = await serve(server, mutual());
    const files = await authority.issue("renewed", { subject: "/CN=old", names: "DNS:order" });
    const made = clientOf(port, own(files));
    expect(await refusal(made)).toBeUndefined();
    const next = await authority.issue("next", { subject: "/CN=new", names: "DNS:order" });
    rmSync(files.cert);
    expect(await refusal(made)).toContain("KAFKA_SSL_CERT_FILE: there is no file that can be read (ENOENT)");
    writeFileSync(files.cert, readFileSync(next.cert));
    writeFileSync(files.key, readFileSync(next.key));
    expect(await refusal(made)).toBeUndefined();
    expect(clients.map(({ name }) => name)).toEqual(["old", "new"]);
  });
});

describe.skipIf(!hasOpenssl)("the settings", () => {
  function problemsOf(env: Record<string, string>): readonly string[] {
    try {
      load({ KAFKA_SSL: "true", ...env });
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    return [];
  }

  test("take a certificate and its key", () => expect(problemsOf(own(client))).toEqual([]));

  test("refuse the key of another certificate", () => {
    expect(problemsOf(own({ cert: client.cert, key: server.key }))).toEqual([
      "KAFKA_SSL_KEY_FILE: is not the key of the certificate in KAFKA_SSL_CERT_FILE",
    ]);
  });

  test("refuse certificates in place of keys, and keys in place of certificates", () => {
    const swapped = { ...own({ cert: client.key, key: client.cert }), KAFKA_SSL_CA_FILE: client.key };
    expect(problemsOf(swapped)).toEqual([
      "KAFKA_SSL_CA_FILE: has no certificate in PEM",
      "KAFKA_SSL_CERT_FILE: has no certificate in PEM",
      "KAFKA_SSL_KEY_FILE: has no private key in PEM",
    ]);
  });

  test("refuse an encrypted key without its password, or with another, and do not show it", async () => {
    const env = own({ ...client, key: await encryptKey(client.key, "hunter2") });
    expect(problemsOf(env)).toEqual([
      "KAFKA_SSL_KEY_FILE: is encrypted, and KAFKA_SSL_KEY_PASSWORD is not set",
    ]);
    expect(problemsOf({ ...env, KAFKA_SSL_KEY_PASSWORD: "hunter3" })).toEqual([
      "KAFKA_SSL_KEY_FILE: cannot be decrypted with KAFKA_SSL_KEY_PASSWORD",
    ]);
    const file = join(folder, "key-password");
    writeFileSync(file, "hunter2\n");
    expect(problemsOf({ ...env, KAFKA_SSL_KEY_PASSWORD_FILE: file })).toEqual([]);
  });
});
