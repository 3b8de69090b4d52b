import type { LeaseGranted } from "@distributed-messaging/supervisor/reports";
import { supervisorUrl } from "../settings.ts";
import { refusal, Unreachable } from "./request.ts";

/** The supervisor answers when every process runs again after an earlier lease. */
const GRANT_LIMIT_MS = 60_000;

/** The right to stop processes. When it ends, in whatever way, the supervisor brings every process back. */
export interface Lease {
  /** For the actions on processes. */
  readonly id: string;
  /** Resolves when the lease has ended. */
  readonly ended: Promise<void>;
  end(): void;
}

/** @throws Refused when another page has it; Unreachable */
export async function takeLease(): Promise<Lease> {
  if (supervisorUrl === undefined) throw new Unreachable("This store has no supervisor.");
  const connection = new AbortController();
  const end = () => {
    window.removeEventListener("pagehide", end);
    connection.abort();
  };
  // A page that is kept for the Back button keeps its connections.
  window.addEventListener("pagehide", end);
  const timer = setTimeout(end, GRANT_LIMIT_MS);
  try {
    const response = await fetch(`${supervisorUrl}/lease`, { method: "POST", signal: connection.signal });
    if (!response.ok) throw refusal(response, await response.text());
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = (await reader?.read()) ?? {};
    // Not checked: the supervisor is of the same version as the page.
    const { lease } = JSON.parse(value) as LeaseGranted;
    const read = async () => {
      while ((await reader?.read())?.done === false);
    };
    return { id: lease, ended: read().catch(() => {}), end };
  } catch (cause) {
    end();
    if (cause instanceof Error && cause.name === "Refused") throw cause;
    throw new Unreachable("The supervisor does not answer.", { cause });
  } finally {
    clearTimeout(timer);
  }
}
