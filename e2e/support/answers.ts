import { Money, PricedLine, Shortage, UnitPrice } from "@distributed-messaging/contracts";
import { closed } from "@distributed-messaging/messaging";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/*
 * The store's HTTP answers, repeated here as closed schemas: a missing, misspelled or additional field fails the test
 * that reads it.
 */

const Time = Type.String({ pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$" });

export const Session = Type.Object(
  {
    token: Type.String(),
    customerId: Type.String(),
    role: Type.Union([Type.Literal("customer"), Type.Literal("admin")]),
    expiresAt: Time,
  },
  closed,
);

export const Accepted = Type.Object({ orderId: Type.String(), status: Type.Literal("accepted") }, closed);

const statuses = ["accepted", "pending", "backordered", "confirmed", "rejected", "cancelled"] as const;
export type Status = (typeof statuses)[number];
const Step = Type.Object({ at: Time, type: Type.String(), service: Type.String() }, closed);

export const Order = Type.Object(
  {
    orderId: Type.String(),
    customerId: Type.String(),
    status: Type.Unsafe<Status>(Type.Union(statuses.map((status) => Type.Literal(status)))),
    items: Type.Array(PricedLine, { minItems: 1 }),
    total: Money,
    placedAt: Time,
    updatedAt: Time,
    shortages: Type.Optional(Type.Array(Shortage, { minItems: 1 })),
    reason: Type.Optional(Type.String()),
    history: Type.Array(Step, { minItems: 1 }),
  },
  closed,
);
export type Order = Static<typeof Order>;

export const Product = Type.Object(
  {
    productId: Type.String(),
    name: Type.String(),
    price: UnitPrice,
    available: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type Product = Static<typeof Product>;

export const Stock = Type.Object(
  {
    productId: Type.String(),
    name: Type.String(),
    price: UnitPrice,
    onHand: Type.Integer({ minimum: 0 }),
    reserved: Type.Integer({ minimum: 0 }),
    available: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type Stock = Static<typeof Stock>;

export const Notification = Type.Object(
  {
    seq: Type.Integer({ minimum: 1 }),
    notificationId: Type.String({ minLength: 1 }),
    orderId: Type.String(),
    type: Type.String({ pattern: "^order\\.(received|waiting|confirmed|rejected|cancelled)$" }),
    message: Type.String({ minLength: 1 }),
    at: Time,
    cursor: Type.String({ pattern: "^c[A-Za-z0-9_-]+$" }),
  },
  closed,
);
export type Notification = Static<typeof Notification>;

/** RFC 9457, with the field errors as an extension. */
export const Problem = Type.Object(
  {
    type: Type.String({ pattern: "^urn:problem-type:[a-z-]+$" }),
    title: Type.String({ minLength: 1 }),
    status: Type.Integer(),
    detail: Type.String({ minLength: 1 }),
    errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }, closed))),
  },
  closed,
);
export type Problem = Static<typeof Problem>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON, or text when the content type is not JSON. */
  readonly body: unknown;
}

/** Sends a request. No connection is kept open: its server may have been killed. */
export async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { keepalive: false, ...init });
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? (JSON.parse(text) as unknown) : text,
  };
}

/** The body of an answer. @throws when the answer has another status, or the body does not match the schema */
export function read<Schema extends TSchema>(schema: Schema, answer: Answer, status = 200): Static<Schema> {
  if (answer.status !== status) {
    throw new Error(`expected ${status}, got ${answer.status}: ${Bun.inspect(answer.body)}`);
  }
  return parse(schema, answer.body);
}

/** @throws naming every field that does not match the schema */
export function parse<Schema extends TSchema>(schema: Schema, value: unknown): Static<Schema> {
  if (Value.Check(schema, value)) return value;
  const faults = [...Value.Errors(schema, value)].map(({ path, message }) => `${path || "/"}: ${message}`);
  throw new Error(`${faults.join("; ")} in ${Bun.inspect(value)}`);
}

/** The problem in an answer. @throws when it is not problem+json, or has another status than the answer */
export function problemIn(answer: Answer): Problem {
  const type = answer.headers.get("content-type");
  if (type !== "application/problem+json") throw new Error(`the content type of ${answer.status} is ${type}`);
  const problem = read(Problem, answer, answer.status);
  if (problem.status !== answer.status)
    throw new Error(`the status of the problem in ${answer.status} is ${problem.status}`);
  return problem;
}
