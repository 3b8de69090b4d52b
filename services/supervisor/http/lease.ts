import { ServiceError } from "@distributed-messaging/service/errors";
import { documented } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { LeaseGranted } from "../reports.ts";
import type { Supervisor } from "../supervisor.ts";
import { PROCESSES } from "./answers.ts";

/** More often than the server closes idle connections (`idleTimeout` in shared/service/http/server.ts). */
const KEEP_ALIVE_MS = 5_000;
/** How long a request waits for the end of a lease: that of the same page, reloaded, may be noticed after the request. */
const GRACE_MS = 500;
/** Less than the server's `idleTimeout`: a process that does not become ready holds up no further lease. */
const RESTORE_MS = 20_000;

/**
 * The right to stop processes for a while. It lasts as long as the connection of the request, so it ends with the page,
 * however that ends: closed, reloaded, crashed. Then every process is brought back. One client at a time has it.
 */
export class ProcessLease {
  #holder: string | undefined;
  #ended: Promise<void> = Promise.resolve();
  #restored: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    private readonly supervisor: Pick<Supervisor, "bringBackAll">,
    private readonly restoreMs = RESTORE_MS,
  ) {}

  /**
   * Waits until the processes are brought back after the previous lease, for RESTORE_MS at most.
   *
   * @param connection aborted when the client has disconnected
   * @returns a stream whose first line is `LeaseGranted`; the lease ends when it is cancelled or the client disconnects
   * @throws ServiceError conflict: lease-held, lease-ended
   */
  async grant(connection: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    await Promise.race([this.#ended, Bun.sleep(GRACE_MS)]);
    await Promise.race([this.#restored, Bun.sleep(this.restoreMs)]);
    if (connection.aborted) throw new ServiceError("conflict", "lease-ended", "The client has disconnected.");
    if (this.#holder !== undefined || this.#closed) {
      throw new ServiceError(
        "conflict",
        "lease-held",
        "Another page stops and starts processes at the moment.",
      );
    }
    const lease = crypto.randomUUID();
    const encoder = new TextEncoder();
    this.#holder = lease;
    const ended = Promise.withResolvers<void>();
    this.#ended = ended.promise;
    let timer: Timer | undefined;
    const end = () => {
      clearInterval(timer);
      this.#end(lease);
      ended.resolve();
    };
    connection.addEventListener("abort", end);
    return new ReadableStream({
      start(controller) {
        const granted: LeaseGranted = { lease };
        controller.enqueue(encoder.encode(`${JSON.stringify(granted)}\n`));
        timer = setInterval(() => controller.enqueue(encoder.encode("\n")), KEEP_ALIVE_MS);
      },
      cancel: end,
    });
  }

  /**
   * Refuses what a page requested under a lease that has ended: such a request may arrive after the processes were
   * brought back.
   *
   * @throws ServiceError conflict: lease-ended
   */
  assertHeld(lease: string | undefined): void {
    if (lease === undefined || lease === this.#holder) return;
    throw new ServiceError("conflict", "lease-ended", "The page that asked for this has ended.");
  }

  /** Nothing is brought back any more: the store stops. */
  close(): void {
    this.#closed = true;
  }

  #end(lease: string): void {
    if (this.#holder !== lease) return;
    this.#holder = undefined;
    if (!this.#closed) this.#restored = this.supervisor.bringBackAll();
  }
}

export function leaseRoutes(lease: ProcessLease) {
  return new Elysia().post(
    "/lease",
    async ({ request }) =>
      new Response(await lease.grant(request.signal), {
        headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" },
      }),
    {
      detail: documented("Stop processes until the connection ends: then every process is brought back", {
        tag: PROCESSES,
        answers: { 200: Type.String({ contentMediaType: "application/x-ndjson" }) },
        problems: [409],
      }),
    },
  );
}
