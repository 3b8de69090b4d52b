import type {
  FiguresReport,
  LogLine,
  ProcessAction,
  ProcessReport,
  RecordReport,
  Redelivery,
  TopicReport,
  TrafficReport,
} from "@distributed-messaging/supervisor/reports";
import { supervisorUrl } from "../settings.ts";
import { type RequestOptions, request, Unreachable } from "./request.ts";

/* The HTTP interface of the supervisor. Every function throws Refused or Unreachable. */

/** Publishing and reading many records takes longer than other requests. */
const SLOW_MS = 15_000;

/** Whether there is a supervisor. Without it the page has no views for operators. */
export const hasSupervisor = supervisorUrl !== undefined;

async function ask<Body>(path: string, options: RequestOptions = {}): Promise<Body> {
  if (supervisorUrl === undefined) throw new Unreachable("This store has no supervisor.");
  return (await request<Body>(`${supervisorUrl}${path}`, options)).body;
}

export const fetchProcesses = () => ask<readonly ProcessReport[]>("/processes");

/** Resolves when the action is done or in progress. @param lease without it the action lasts */
export function actOn(name: string, action: ProcessAction, lease?: string): Promise<ProcessReport> {
  const query = lease === undefined ? "" : `?lease=${lease}`;
  return ask(`/processes/${name}/${action}${query}`, { method: "POST", timeoutMs: SLOW_MS });
}

/** The last lines of a process, oldest first. */
export const fetchLog = (name: string) => ask<readonly LogLine[]>(`/processes/${name}/log`);

export const fetchFigures = () => ask<FiguresReport>("/figures");
export const fetchTopics = () => ask<readonly TopicReport[]>("/topics");

/** @param after the `next` of the previous answer */
export const fetchTraffic = (after: number | undefined) =>
  ask<TrafficReport>(`/traffic${after === undefined ? "" : `?after=${after}`}`);

/** The latest records of a topic, newest first. */
export const fetchLatest = (topic: string) => ask<readonly RecordReport[]>(`/topics/${topic}/messages`);

/** An order by its customer's name for it; without a customer, by the id under which it travels. */
interface OrderRef {
  readonly orderId: string;
  readonly customerId: string | undefined;
}

function pathTo({ orderId, customerId }: OrderRef, what: string): string {
  return `/orders/${orderId}/${what}${customerId === undefined ? "" : `?customerId=${customerId}`}`;
}

/** All records of an order, over all topics, in the order in which the broker stored them. */
export function fetchOrderRecords(order: OrderRef, signal?: AbortSignal): Promise<readonly RecordReport[]> {
  return ask(pathTo(order, "messages"), { signal, timeoutMs: SLOW_MS });
}

/** Publishes every record of the order again. */
export function deliverAgain(order: OrderRef): Promise<Redelivery> {
  return ask(pathTo(order, "deliver-again"), { method: "POST", timeoutMs: SLOW_MS });
}

/** Publishes an undecodable record with the order's key. */
export function publishBroken(order: OrderRef): Promise<{ readonly key: string }> {
  return ask(pathTo(order, "broken-message"), { method: "POST", timeoutMs: SLOW_MS });
}

/** Sends a request to a service through the supervisor. */
export function askService<Body>(service: string, path: string, options: RequestOptions): Promise<Body> {
  return ask(`/services/${service}${path}`, options);
}

/** The URL of the log of a process. */
export function logUrl(process: string): string {
  return `${supervisorUrl ?? ""}/processes/${process}/log`;
}

/** The URL of all records of an order. */
export function orderRecordsUrl(order: OrderRef): string {
  return `${supervisorUrl ?? ""}${pathTo(order, "messages")}`;
}

/** The URL of a file of the repository, at a text in it. */
export function sourceUrl(path: string, text: string): string {
  return `${supervisorUrl ?? ""}/sources/${path}#:~:text=${encodeURIComponent(text).replaceAll("-", "%2D")}`;
}
