import {
  closed,
  DomainError,
  define,
  defineEffect,
  encode,
  type Message,
  message,
  on,
  type Topic,
} from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { defineService, type PartsOf } from "../composition.ts";
import { type CommonConfig, commonSettings, type Environment } from "../config.ts";
import { issueToken, type Role, TokenVerifier } from "../identity.ts";
import { KeyFile, type KeySource } from "../jwks.ts";
import { operatorKeyPath, parseOperatorKey } from "../operator.ts";
import { generateSigningKey, type SigningKey } from "../signing-key.ts";
import { keySource } from "./keys.ts";
import { ServiceFixture } from "./service-fixture.ts";

export const letters: Topic = { name: "letters", key: "name", partitions: 3, config: {} };

export const Letter = define({
  type: "test.letter.v1",
  kind: "event",
  source: "test",
  topic: letters,
  key: "name",
  data: Type.Object({ name: Type.String(), text: Type.String() }, closed),
});

/** A letter in its envelope. */
export function letter(name: string, text: string): Message {
  const id = Bun.randomUUIDv7();
  const time = new Date().toISOString();
  return message(Letter, { name, text }, { id, source: "test", time, correlationid: id, causationid: id });
}

const claims = { issuer: "test", audience: "test" };
const key = await generateSigningKey();

/** Accepts the tokens of `tokenOf`. */
export function verifierWith(operatorKeys?: KeySource): TokenVerifier {
  return new TokenVerifier(
    claims,
    keySource((id) => (id === key.keyId ? key.publicJwk : undefined)),
    operatorKeys,
  );
}

/** All tests of a process share their tokens, so these are valid for a day. @param signedWith another key */
export function tokenOf(role: Role, customerId = "alice", signedWith: SigningKey = key): Promise<string> {
  const { privateJwk, keyId } = signedWith;
  return issueToken(privateJwk, { ...claims, customerId, role, keyId, now: Date.now(), ttlS: 24 * 60 * 60 });
}

/** A service that handles letters, except those whose text is in `refused`. Its effect fails while `call` is in it. */
const service = defineService({
  name: "reader",
  description: "Reads letters",
  config: Type.Object(commonSettings),
  migrations: [{ name: "handled", sql: "CREATE TABLE handled (name TEXT, text TEXT) STRICT" }],
  messages: [Letter],
  brokerRequired: true,
  compose({ sql }, config, log) {
    const refused = new Set(["poison", "call"]);
    const Call = defineEffect({
      name: "call",
      input: Type.Object({ name: Type.String() }, closed),
      run: async () => {
        if (refused.has("call")) throw new DomainError("no call");
      },
      completed: (_output, { name }) => sql.run("INSERT INTO handled VALUES (?, 'called')", [name]),
    });
    return {
      parts: {
        refused,
        Call,
        /** The letters that were handled, in order, as `name:text`. */
        handled: () =>
          sql
            .query<{ name: string; text: string }, []>("SELECT * FROM handled ORDER BY rowid")
            .all()
            .map(({ name, text }) => `${name}:${text}`),
      },
      handlers: [
        on(Letter, ({ data: { name, text } }) => {
          if (refused.has(text)) throw new DomainError(`no ${text}`);
          sql.run("INSERT INTO handled VALUES (?, ?)", [name, text]);
        }),
      ],
      effects: [Call],
      timers: [{ name: "remind", fire: () => {} }],
      verifier: verifierWith(new KeyFile(operatorKeyPath(config), log, parseOperatorKey)),
    };
  },
});

const admin = await tokenOf("admin");

/** The service in this process, with the administration of its dead letters over HTTP. */
export class DeadLetterFixture extends ServiceFixture<CommonConfig, PartsOf<typeof service>> {
  static async open(env: Environment = {}): Promise<DeadLetterFixture> {
    const fixture = new DeadLetterFixture(service, { routes: () => new Elysia(), env });
    await fixture.start();
    return fixture;
  }

  /** Sends a request for the dead letters, as an admin unless another token is given. */
  async ask(method: string, path: string, body?: unknown, token: string = admin) {
    const response = await fetch(`${this.url}/dead-letters${path}`, {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  }

  /** Publishes letters, all of which the service parks. @returns the ids of their dead letters, oldest first */
  async park(...messages: Message[]): Promise<number[]> {
    await this.broker.publish(messages.map((envelope) => encode(Letter, envelope)));
    const ids = () => this.running.messaging.deadLetterAdmin.list({ limit: 100 }).map(({ id }) => id);
    await eventually(() => ids().length === messages.length);
    return ids();
  }
}
