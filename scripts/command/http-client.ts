import { UsageError } from "../start/settings.ts";

const REQUEST_TIMEOUT_MS = 10_000;

export interface Asked {
  readonly body?: unknown;
  readonly token?: string | undefined;
  /** Milliseconds; ten seconds unless the answer may take longer. */
  readonly timeoutMs?: number;
}

/** Asks a service something. @throws UsageError when nobody answers */
export async function ask(method: string, url: string, { body, token, timeoutMs }: Asked): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs ?? REQUEST_TIMEOUT_MS),
    });
  } catch {
    throw new UsageError(`no answer from ${new URL(url).origin}; does the store run (npm start)?`);
  }
}

/** The JSON of an answer; undefined for a 204, which has none. @throws UsageError unless it has this status */
export async function expectAnswer<Body>(response: Response, status: number): Promise<Body> {
  const text = await response.text();
  const { origin } = new URL(response.url);
  if (response.status === status) {
    try {
      return (status === 204 ? undefined : JSON.parse(text)) as Body;
    } catch {
      throw new UsageError(`${origin} does not answer as the store's services do`);
    }
  }
  throw new UsageError([`${origin} answered ${response.status}`, ...problemLines(text)].join(": "));
}

/** What an RFC 9457 problem says, each wrong field with it. */
function problemLines(text: string): string[] {
  try {
    const problem: { title?: string; detail?: string; errors?: { path: string; message: string }[] } =
      JSON.parse(text);
    const errors = (problem.errors ?? []).map(({ path, message }) => `${path} ${message}`);
    return [problem.detail ?? problem.title ?? "no reason given", ...errors];
  } catch {
    return [];
  }
}
