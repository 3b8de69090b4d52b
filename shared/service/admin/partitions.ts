import {
  ALL_PARTITIONS,
  closed,
  type Messaging,
  type PartitionStop,
  type PartitionStops,
  type StopAction,
  type StopDecision,
  stopActions,
} from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { authenticate, requireAdmin, type TokenVerifier } from "../identity.ts";
import { forAdmins } from "./for-admins.ts";

const described = forAdmins({
  name: "stopped partitions",
  description: "Partitions and topics that wait for an operator",
});

// Elysia types paths as sent, as text.
const Place = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 249 }),
  partition: Type.String({ pattern: "^(all|\\d{1,9})$" }),
});
const Decision = Type.Object(
  {
    action: Type.Unsafe<StopAction>(Type.Union(stopActions.map((action) => Type.Literal(action)))),
    reason: Type.String({ minLength: 1, maxLength: 300 }),
    offset: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: "where it is stopped: refused if it is stopped elsewhere by now",
      }),
    ),
  },
  closed,
);

/**
 * The administration of a service's stopped partitions: list, show, decide. Every request needs an admin's token, and
 * every decision is recorded with the admin who made it. The partition of a topic that is stopped as a whole is `all`.
 */
export function partitionRoutes(messaging: Messaging, verifier: TokenVerifier) {
  const stops = messaging.partitionStops;
  return new Elysia({ prefix: "/partitions" })
    .derive(async ({ request }) => {
      const identity = await authenticate(request, verifier);
      requireAdmin(identity);
      return { actor: identity.customerId };
    })
    .get("", () => stops.list().map(shownStop), {
      detail: described("Partitions that are stopped (admin)", { 200: Type.Array(Type.Object(stop)) }),
    })
    .get("/topics", () => messaging.topicFindings(), {
      detail: described("What of the topics' configuration is not what the messages need (admin)", {
        200: Type.Array(FindingSchema),
      }),
    })
    .get("/:topic/:partition", ({ params }) => shownHistory(stops, params), {
      params: Place,
      detail: described("Why a partition is stopped, and what was decided about it before (admin)", {
        200: HistorySchema,
      }),
    })
    .post(
      "/:topic/:partition/decisions",
      async ({ params, body: { action, reason, offset }, actor }) => {
        await stops.decide({ ...placeOf(params), offset }, action, reason, actor);
        return shownHistory(stops, params);
      },
      {
        params: Place,
        body: Decision,
        detail: described(
          "Decides how a stopped partition goes on (admin)",
          { 200: HistorySchema },
          [404, 409],
        ),
      },
    );
}

interface PlaceText {
  readonly topic: string;
  readonly partition: string;
}

function placeOf({ topic, partition }: PlaceText) {
  return { topic, partition: partition === "all" ? ALL_PARTITIONS : Number(partition) };
}

export type ShownStop = ReturnType<typeof shownStop>;
export type ShownStopHistory = ReturnType<typeof shownHistory>;

function shownHistory(stops: PartitionStops, params: PlaceText) {
  const { topic, partition } = placeOf(params);
  const stop = stops.get(topic, partition);
  return {
    ...params,
    stop: stop === undefined ? null : { ...shownStop(stop), base64: base64Of(stop.bytes) },
    decisions: stops.decisions(topic, partition).map(shownDecision),
  };
}

function shownStop({ bytes, partition, stoppedAt, ...stop }: PartitionStop) {
  return {
    ...stop,
    partition: partition === ALL_PARTITIONS ? "all" : String(partition),
    bytes: bytes?.byteLength ?? null,
    stoppedAt: new Date(stoppedAt).toISOString(),
  };
}

function shownDecision({ bytes, at, topic: _, partition: __, ...decision }: StopDecision) {
  return { ...decision, base64: base64Of(bytes), at: new Date(at).toISOString() };
}

function base64Of(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString("base64");
}

// The same as schemas, for the OpenAPI document.

const Text = Type.String();
const Time = Type.String({ format: "date-time" });
const Offset = Type.Integer();
const Bytes = Type.Union([Type.String({ contentEncoding: "base64" }), Type.Null()]);
const stop = {
  topic: Text,
  partition: Text,
  reason: Text,
  error: Text,
  offset: Offset,
  nextOffset: Offset,
  bytes: Type.Union([Type.Integer(), Type.Null()]),
  stoppedAt: Time,
};
const FindingSchema = Type.Object({
  topic: Text,
  severity: Type.Union([Type.Literal("error"), Type.Literal("warning")]),
  text: Text,
});
const HistorySchema = Type.Object({
  topic: Text,
  partition: Text,
  stop: Type.Union([Type.Object({ ...stop, base64: Bytes }), Type.Null()]),
  decisions: Type.Array(
    Type.Object({
      ...{ reason: Text, error: Text, offset: Offset, nextOffset: Offset, base64: Bytes },
      ...{ action: Text, actor: Text, detail: Text, at: Time },
    }),
  ),
});
