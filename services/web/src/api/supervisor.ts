import type {
  FiguresReport,
  ProcessAction,
  ProcessReport,
  RecordReport,
  Redelivery,
  TopicReport,
} from "@distributed-messaging/supervisor/reports";
import { supervisorUrl } from "../settings.ts";
import { type RequestOptions, request, Unreachable } from "./request.ts";

export type {
  FiguresReport,
  ProcessAction,
  ProcessReport,
  RecordReport,
  Redelivery,
  TopicReport,
} from "@distributed-messaging/supervisor/reports";

/* The supervisor of a store that runs on this machine. Every function throws Refused or Unreachable. */

/** Whether there is one: without it nothing behind the counter is shown. */
export const hasSupervisor = supervisorUrl !== undefined;

async function ask<Body>(path: string, options: RequestOptions = {}): Promise<Body> {
  if (supervisorUrl === undefined) throw new Unreachable("This store has no supervisor.");
  return (await request<Body>(`${supervisorUrl}${path}`, options)).body;
}

export const fetchProcesses = () => ask<readonly ProcessReport[]>("/processes");

/** Resolves when it is done, or well under way. */
export function actOn(name: string, action: ProcessAction): Promise<ProcessReport> {
  return ask(`/processes/${name}/${action}`, { method: "POST", timeoutMs: 15_000 });
}

export const fetchFigures = () => ask<FiguresReport>("/figures");
export const fetchTopics = () => ask<readonly TopicReport[]>("/topics");

/** The latest records of a topic, newest first. */
export const fetchLatest = (topic: string) => ask<readonly RecordReport[]>(`/topics/${topic}/messages`);

/** Every record of one order, over all topics, in the order in which the broker wrote them. */
export function fetchOrderRecords(orderId: string, signal?: AbortSignal): Promise<readonly RecordReport[]> {
  return ask(`/orders/${orderId}/messages`, { signal, timeoutMs: 15_000 });
}

/** Publishes every record of the order once more. */
export function deliverAgain(orderId: string): Promise<Redelivery> {
  return ask(`/orders/${orderId}/deliver-again`, { method: "POST", timeoutMs: 15_000 });
}

/** Publishes a record under the order's key that nobody can read. */
export function publishBroken(orderId: string): Promise<void> {
  return ask(`/orders/${orderId}/broken-message`, { method: "POST", timeoutMs: 15_000 });
}

/** What one of the services answers behind the counter, through the supervisor. */
export function askService<Body>(service: string, path: string, options: RequestOptions): Promise<Body> {
  return ask(`/services/${service}${path}`, options);
}

/** Where the source of a promise's test can be read. @param promise 1 to 6 */
export function testSourceUrl(promise: number): string {
  return `${supervisorUrl ?? ""}/promises/${promise}/test`;
}
