import { DomainError, encode, type Message, message } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Letter, TestService } from "../../messaging/testing/kit.ts";
import { generateSigningKey, issueToken, type Role, type SigningKey, TokenVerifier } from "../identity.ts";
import { serveForTest, type TestServer } from "../testing.ts";
import { deadLetterRoutes } from "./dead-letters.ts";

/** Whoever loads this file first makes its tokens, and the last test to use them may be minutes away. */
const A_DAY_S = 24 * 60 * 60;

const claims = { issuer: "test", audience: "test" };

/** The key that the bench's service knows. */
const key: SigningKey = await generateSigningKey();

/** @param signedWith the key of the store, unless a test has another */
export function tokenOf(role: Role, customerId = "alice", signedWith: SigningKey = key): Promise<string> {
  const { privateJwk, keyId } = signedWith;
  return issueToken(privateJwk, { ...claims, customerId, role, keyId, now: Date.now(), ttlS: A_DAY_S });
}

const admin = await tokenOf("admin");

/** A service that refuses some letters, with its dead letters over HTTP. */
export class DeadLetterBench {
  /** Texts that the service refuses. */
  readonly refused = new Set(["poison"]);
  readonly service: TestService;
  readonly url: string;
  readonly #server: TestServer;

  private constructor(service: TestService, server: TestServer, url: string) {
    this.service = service;
    this.#server = server;
    this.url = url;
  }

  static async open(): Promise<DeadLetterBench> {
    const service: TestService = new TestService(({ text }) => {
      if (bench.refused.has(text)) throw new DomainError(`no ${text}`);
    });
    const verifier = new TokenVerifier(claims, (id) => (id === key.keyId ? key.publicJwk : undefined));
    const server = await serveForTest((app) =>
      app.use(deadLetterRoutes(service.kit.deadLetterAdmin, verifier)),
    );
    const bench = new DeadLetterBench(service, server, `${server.url}/dead-letters`);
    service.kit.start();
    return bench;
  }

  async close(): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.service.stop();
  }

  /** Asks as an admin, unless another token is given. */
  async ask(method: string, path: string, body?: unknown, token: string = admin) {
    const response = await fetch(this.url + path, {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  }

  /** Publishes letters that the service parks. @returns the ids of all that are parked then, oldest first */
  async park(...messages: Message[]): Promise<number[]> {
    await this.service.broker.publish(messages.map((envelope) => encode(Letter, envelope)));
    const ids = () => this.service.kit.deadLetterAdmin.list({ limit: 100 }).map(({ id }) => id);
    await eventually(() => ids().length === messages.length);
    return ids();
  }
}

/** A letter in its envelope. */
export function letter(name: string, text: string): Message {
  const id = Bun.randomUUIDv7();
  const origin = { id, source: "test", time: new Date().toISOString(), correlationid: id, causationid: id };
  return message(Letter, { name, text }, origin);
}
