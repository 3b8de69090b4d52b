import { connect } from "node:net";

/** How one sees that a process is ready. */
export type Readiness =
  /** It answers 200 at this address. */
  | { readonly kind: "http"; readonly url: string }
  /** It has printed a line that matches. */
  | { readonly kind: "line"; readonly pattern: RegExp }
  /** It accepts connections. */
  | { readonly kind: "port"; readonly host: string; readonly port: number };

const PROBE_INTERVAL_MS = 25;
const PROBE_TIMEOUT_MS = 2_000;

/**
 * Asks until the answer is yes.
 *
 * @returns true once it is, false when `signal` is aborted first
 */
export async function probeUntilReady(
  readiness: Exclude<Readiness, { kind: "line" }>,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted) {
    const ready =
      readiness.kind === "http"
        ? await answersOk(readiness.url, signal)
        : await accepts(readiness.host, readiness.port);
    if (ready && !signal.aborted) return true;
    await Bun.sleep(PROBE_INTERVAL_MS);
  }
  return false;
}

async function answersOk(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
      keepalive: false,
    });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    // Not listening yet, or no answer in time: both mean "ask again".
    return false;
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
