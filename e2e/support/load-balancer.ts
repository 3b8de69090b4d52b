const PROBE_EVERY_MS = 50;
const PROBE_TIMEOUT_MS = 1_000;
/** How long a request waits for an instance that is ready; a load balancer would answer 503 after it. */
const NONE_READY_MS = 1_000;

/** One instance, as a load balancer has it in its list. */
interface Target {
  readonly url: string;
  isReady: boolean;
}

/**
 * Sends requests to the instances of a service in turn, as a load balancer does: to those whose readiness was 200 when it
 * was last asked. What an instance does not accept a connection for goes to the next one. Every answer counts, and so does
 * a connection that breaks after the request was sent.
 */
export class LoadBalancer implements Disposable {
  readonly #targets: readonly Target[];
  readonly #stopped = new AbortController();
  #turn = 0;

  constructor(urls: readonly string[]) {
    this.#targets = [...new Set(urls)].map((url) => ({ url, isReady: false }));
    for (const target of this.#targets) void this.#probe(target);
  }

  /** @throws when no instance is ready, or the connection breaks */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    const startedAt = performance.now();
    while (performance.now() - startedAt < NONE_READY_MS) {
      const ready = this.#targets.filter(({ isReady }) => isReady);
      const target = ready[this.#turn++ % Math.max(1, ready.length)];
      if (target === undefined) {
        await Bun.sleep(PROBE_EVERY_MS);
        continue;
      }
      try {
        return await fetch(`${target.url}${path}`, init);
      } catch (error) {
        if (!isRefused(error)) throw error;
        target.isReady = false;
      }
    }
    throw new Error("no instance is ready");
  }

  [Symbol.dispose](): void {
    this.#stopped.abort();
  }

  async #probe(target: Target): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      target.isReady = await fetch(`${target.url}/readiness`, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
        keepalive: false,
      }).then(
        ({ ok }) => ok,
        () => false,
      );
      await Bun.sleep(PROBE_EVERY_MS);
    }
  }
}

/** Whether nothing accepted the connection, so that no request was sent. */
function isRefused(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && /^(ECONNREFUSED|ConnectionRefused)$/.test(`${error.code}`)
  );
}
