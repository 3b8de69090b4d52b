import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { Type } from "@sinclair/typebox";
import { closed } from "./contract/define.ts";
import { encode } from "./contract/envelope.ts";
import { defineEffect } from "./effects/define.ts";
import { DomainError } from "./errors.ts";
import { on } from "./inbox/inbox.ts";
import type { MessagingOptions } from "./messaging.ts";
import { eventually } from "./testing/eventually.ts";
import { Answer, Letter, letter, TestService } from "./testing/kit.ts";

const TRACE = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "v=1" };
const UNSAMPLED = { traceparent: TRACE.traceparent.replace(/01$/, "00"), tracestate: "v=1" };

let exporter: InMemorySpanExporter;
let service: TestService;
beforeEach(() => {
  exporter = new InMemorySpanExporter();
});
afterEach(() => service.stop());

function start(options: Partial<MessagingOptions>, sampler?: Sampler): void {
  const provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
    ...(sampler === undefined ? {} : { sampler }),
  });
  service = new TestService(undefined, { tracer: provider.getTracer("test"), ...options });
  service.kit.start();
}

const answering = on(Letter, ({ data }, transaction) => {
  transaction.emit(Answer, data);
});

/** Publishes a letter that belongs to a trace, past the outbox. */
function publish(name: string, trace: object, text = "x"): Promise<void> {
  return service.broker.publish([encode(Letter, { ...letter(name, text), ...trace })]);
}

async function spanNamed(name: string): Promise<ReadableSpan> {
  return eventually(() => exporter.getFinishedSpans().find((span) => span.name === name), `a span ${name}`);
}

const names = () => exporter.getFinishedSpans().map(({ name }) => name);
const idOf = (span: ReadableSpan) => span.spanContext().spanId;
const answers = () => service.broker.records("answers");

test("a message is received, processed and answered in the trace of its sender, tracestate included", async () => {
  start({ handlers: [answering] });
  await publish("a", TRACE);
  const sent = await spanNamed("send answers");
  const process = await spanNamed("process letters");
  const receive = await spanNamed("receive letters");
  for (const span of [receive, process]) {
    expect(span.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
    expect(span.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(span.kind).toBe(SpanKind.CONSUMER);
  }
  expect(process.attributes).toMatchObject({
    "messaging.system": "kafka",
    "messaging.operation.name": "process",
    "messaging.destination.name": "letters",
    "messaging.consumer.group.name": "reader",
    "messaging.kafka.message.key": "a",
    "messaging.kafka.offset": 0,
    "cloudevents.event_type": "test.letter.v1",
  });
  expect(sent.parentSpanContext?.spanId).toBe(idOf(process));
  expect(sent.kind).toBe(SpanKind.PRODUCER);
  const [answer] = answers();
  const trace = { traceparent: `00-0af7651916cd43dd8448eb211c80319c-${idOf(process)}-01`, tracestate: "v=1" };
  expect(answer?.headers).toMatchObject(trace);
  expect(JSON.parse(String(answer?.value))).toMatchObject(trace);
});

test("a trace that its sender does not record is passed on, and nothing of it is recorded, whatever the sampler", async () => {
  start({ handlers: [answering] }, new AlwaysOnSampler());
  await publish("a", UNSAMPLED);
  await eventually(() => answers().length === 1);
  expect(answers()[0]?.headers).toMatchObject(UNSAMPLED);
  expect(names()).toEqual([]);
});

test("what the sampler does not record is passed on in the trace of the sender", async () => {
  start({ handlers: [answering] }, new AlwaysOffSampler());
  await publish("a", TRACE);
  await eventually(() => answers().length === 1);
  expect(answers()[0]?.headers).toMatchObject(TRACE);
  expect(names()).toEqual([]);
});

test("a message that waits in the outbox while the broker is down is sent in its trace", async () => {
  start({ handlers: [answering] });
  const outage = spyOn(service.broker, "publish").mockRejectedValue(new Error("away"));
  await service.kit.unitOfWork.run(
    (transaction) => {
      transaction.emit(Letter, { name: "a", text: "x" });
    },
    { correlationId: "c", causationId: "c", ...TRACE },
  );
  const work = await spanNamed("unit of work");
  expect(work.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
  expect(names()).toEqual(["unit of work"]);
  outage.mockRestore();
  const sent = await spanNamed("send letters");
  expect(sent.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
  await spanNamed("send answers");
});

test("a try that fails is one span with its error, and none of a try that was rolled back with it", async () => {
  let tries = 0;
  const failing = on(Letter, ({ data }, transaction) => {
    if (data.name === "a" && tries++ < 2) throw new Error("not yet");
    transaction.emit(Answer, data);
  });
  start({
    handlers: [failing],
    retry: { backoff: { firstMs: 1, mostMs: 1 }, attempts: 5 },
  });
  await publish("a", TRACE);
  await eventually(() => answers().length === 1);
  await spanNamed("send answers");
  const processed = exporter.getFinishedSpans().filter(({ name }) => name === "process letters");
  const codes = processed.map(({ status }) => status.code);
  expect(codes).toEqual([SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
  expect(processed[0]?.status.message).toBe("not yet");
});

test("a dead letter that is replayed is handled in its trace, with a link to the operator's request", async () => {
  let isMended = false;
  const picky = on(Letter, ({ data }, transaction) => {
    if (!isMended) throw new DomainError("never");
    transaction.emit(Answer, data);
  });
  start({ handlers: [picky] });
  await publish("a", TRACE);
  const failed = await spanNamed("process letters");
  expect(failed.status.message).toBe("parked as a dead letter (domain): never");
  expect(failed.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
  isMended = true;
  const [dead] = service.kit.deadLetterAdmin.list({ limit: 1 });
  const request = { traceparent: "00-11111111111111111111111111111111-2222222222222222-01" };
  await service.kit.deadLetterAdmin.replay([dead?.id ?? 0], "operator", false, request);
  const replay = await spanNamed("replay letters");
  expect(replay.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
  expect(replay.links.map(({ context }) => context.spanId)).toEqual(["2222222222222222"]);
  expect(replay.attributes).toMatchObject({ "messaging.dead_letter.id": dead?.id });
  const sent = await spanNamed("send answers");
  expect(sent.parentSpanContext?.spanId).toBe(idOf(replay));
  expect(answers()[0]?.headers.tracestate).toBe("v=1");
});

test("a timer and an effect continue the trace in which they were set, in a later process too", async () => {
  const Call = defineEffect({
    name: "call",
    input: Type.Object({ name: Type.String() }, closed),
    run: async ({ name }: { name: string }) => {
      if (name === "bad") throw new Error("refused");
      return name;
    },
    completed: (name: string, _input, transaction) => {
      transaction.emit(Answer, { name, text: "called" });
    },
  });
  const options: Partial<MessagingOptions> = {
    effects: [Call],
    timers: [
      {
        name: "remind",
        fire: ({ key }, transaction) => {
          transaction.emit(Answer, { name: key, text: "reminded" });
          transaction.enqueue(Call, { name: key });
        },
      },
    ],
    handlers: [
      on(Letter, ({ data }, transaction) => {
        transaction.setTimer({ name: "remind", key: data.name, dueAt: transaction.now + 3_600_000 });
      }),
    ],
  };
  start(options);
  await publish("a", TRACE);
  const process = await spanNamed("process letters");
  await service.kit.stop();
  // Not in the first process, however long its stop takes.
  service.database.sql.run("UPDATE timers SET due_at = 0");
  await service.restart();
  const fired = await spanNamed("fire remind");
  expect(fired.parentSpanContext?.spanId).toBe(idOf(process));
  const performed = await spanNamed("perform call");
  expect(performed.parentSpanContext?.spanId).toBe(idOf(fired));
  await eventually(() => answers().length === 2);
  for (const { headers } of answers()) {
    expect(headers.traceparent).toContain("0af7651916cd43dd8448eb211c80319c");
    expect(headers.tracestate).toBe("v=1");
  }
  const parents = [idOf(fired), idOf(performed)];
  expect(answers().map(({ headers }) => headers.traceparent?.split("-")[2] ?? "")).toEqual(parents);
});

test("without a tracer, messages carry the trace of their cause as it is", async () => {
  service = new TestService(undefined, { handlers: [answering] });
  service.kit.start();
  await publish("a", TRACE);
  await eventually(() => answers().length === 1);
  expect(answers()[0]?.headers).toMatchObject(TRACE);
});
