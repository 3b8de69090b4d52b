import { createHttpApp, type HttpAppOptions, type Listening, listen } from "../http/app.ts";
import { createLogger, type Logger, type LogLevel } from "../log.ts";
import { createMetrics } from "../telemetry/metrics.ts";

/** A logger that keeps its lines instead of writing them. */
export function captureLogger(
  app = "test",
  level: LogLevel = "trace",
): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger(app, level, { write: (line) => lines.push(line) }), lines };
}

/** A listening app. `await using` stops it. */
export interface TestServer extends AsyncDisposable {
  readonly listening: Listening;
  readonly url: string;
  readonly lines: string[];
}

type AddRoutes = (app: ReturnType<typeof createHttpApp>) => void;

/** Serves an app with the given routes on a free port of the loopback interface. */
export async function serveForTest(
  addRoutes: AddRoutes,
  options: Partial<HttpAppOptions> = {},
): Promise<TestServer> {
  const { log, lines } = captureLogger();
  const app = createHttpApp({ app: "test", log, metrics: createMetrics("test"), ...options });
  addRoutes(app);
  const listening = await listen(app, { host: "127.0.0.1", port: 0 });
  return { listening, url: listening.url, lines, [Symbol.asyncDispose]: () => listening.stop(1000) };
}

/** Sends one request to a server of its own. @returns the response, its body parsed if it is JSON, and the log */
export async function askOnce(addRoutes: AddRoutes, path: string, init?: RequestInit) {
  await using server = await serveForTest(addRoutes);
  const response = await fetch(server.url + path, init);
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  // Tests compare the parsed value as a whole.
  const body = type.includes("json") && text !== "" ? (JSON.parse(text) as Record<string, unknown>) : text;
  return { status: response.status, type, headers: response.headers, body, lines: server.lines };
}
