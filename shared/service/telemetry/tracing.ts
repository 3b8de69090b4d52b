import { errorText } from "@distributed-messaging/messaging";
import type { Tracer } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { CommonConfig } from "../config.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "./metrics.ts";

/** Spans that wait for an export. More are dropped and counted. OTEL_BSP_MAX_QUEUE_SIZE's default. */
const MAX_QUEUE = 2_048;

interface Tracing {
  readonly tracer: Tracer;
  /** Exports what is queued within the remaining time, in milliseconds, and drops what is left. */
  stop(remainingMs: number): Promise<void>;
}

/**
 * Exports the spans of this process to an OpenTelemetry collector in batches (OTLP over HTTP, JSON), with
 * OpenTelemetry's SDK: its sampler, batches, limits, exporter and resource are set by the standard variables
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), which the SDK reads from the
 * environment itself, once `recordsSpans`. It never slows the service down: at most MAX_QUEUE spans are queued, further ones and those of a
 * failed export are counted in `trace_spans_dropped_total`, and an outage of the collector is logged once.
 */
export function createTracing(
  app: string,
  config: CommonConfig,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
): Tracing {
  const queue = new BoundedQueue(new OTLPTraceExporter(), config.OTEL_BSP_MAX_QUEUE_SIZE ?? MAX_QUEUE, log);
  metrics.total(
    "trace_spans_dropped_total",
    "Spans dropped because the collector was unavailable, too slow, or refused them",
    () => queue.dropped,
  );
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ "service.name": app, "service.namespace": "distributed-messaging" }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [queue],
  });
  return {
    tracer: provider.getTracer("distributed-messaging"),
    async stop(remainingMs) {
      await Promise.race([
        provider.shutdown().catch((error: unknown) => log.debug({ err: error }, "traces were not exported")),
        new Promise((resolve) => setTimeout(resolve, remainingMs).unref()),
      ]);
      queue.dropRest();
    },
  };
}

/** The SDK's batches, with a count of what they drop. */
class BoundedQueue implements SpanProcessor {
  dropped = 0;
  readonly #processor: BatchSpanProcessor;
  readonly #most: number;
  readonly #log: Logger;
  #queued = 0;
  #failing = false;

  constructor(exporter: SpanExporter, most: number, log: Logger) {
    this.#most = most;
    this.#log = log;
    this.#processor = new BatchSpanProcessor({
      export: (spans, done) => {
        exporter.export(spans, (result) => {
          this.#queued -= spans.length;
          if (result.code !== 0) this.dropped += spans.length;
          this.#report(result.code === 0 ? undefined : errorText(result.error ?? "unknown"));
          // The SDK would log the failure of each export.
          done({ code: 0 });
        });
      },
      shutdown: () => exporter.shutdown(),
      forceFlush: async () => exporter.forceFlush?.(),
    });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#queued >= this.#most) {
      this.dropped += 1;
      return;
    }
    this.#queued += 1;
    this.#processor.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#processor.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#processor.shutdown();
  }

  /** After the shutdown nothing is exported any more. */
  dropRest(): void {
    this.dropped += this.#queued;
    this.#queued = 0;
  }

  /** Logs the beginning and the end of an outage, and nothing between. */
  #report(failure: string | undefined): void {
    if (failure !== undefined && !this.#failing) {
      this.#log.warn(`the trace collector is unavailable: ${failure}`);
    }
    if (failure === undefined && this.#failing) this.#log.info("the trace collector is available again");
    this.#failing = failure !== undefined;
  }
}
