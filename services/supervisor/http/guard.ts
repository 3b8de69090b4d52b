import { ServiceError } from "@distributed-messaging/service/errors";

/** The names under which a browser on this machine reaches a loopback address. */
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"] as const;

/** Longest time, in seconds, for which a browser may remember the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = 600;

/** Whom the supervisor listens to. */
export interface Guard {
  /** Its own port, as it has to stand in the Host header. */
  readonly port: number;
  /** The port of the page whose scripts may ask. */
  readonly pagePort: number;
}

/**
 * Refuses what comes from elsewhere. Listening on the loopback address keeps other machines out, but any page
 * that is open in a browser of this machine can send requests here:
 *
 * - a page of another origin says so in `Origin` (or, where that is left out, in `Sec-Fetch-Site`);
 * - a page whose own name was made to point at this machine (DNS rebinding) says its name in `Host`.
 *
 * Programs such as curl send no Origin, and may ask.
 *
 * @throws ServiceError forbidden: foreign-host | foreign-origin
 */
export function refuseForeign(request: Request, guard: Guard): void {
  const { host } = new URL(request.url);
  if (!LOOPBACK_NAMES.some((name) => host === authority(name, guard.port))) {
    throw new ServiceError("forbidden", "foreign-host", "The supervisor answers under loopback names only.");
  }
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (origin === null ? site === "cross-site" : !isPage(origin, guard.pagePort)) {
    throw new ServiceError(
      "forbidden",
      "foreign-origin",
      "Only the store's own page may ask the supervisor.",
    );
  }
}

/** The headers by which a browser lets the page, and nobody else, read the answer (Fetch, CORS protocol). */
export function corsHeaders(request: Request, guard: Guard): Record<string, string> {
  const origin = request.headers.get("origin");
  if (origin === null || !isPage(origin, guard.pagePort)) return { vary: "origin" };
  return { "access-control-allow-origin": origin, vary: "origin" };
}

/** What a preflight of the page is answered beside that. */
export const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "authorization, content-type",
  "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
};

function isPage(origin: string, pagePort: number): boolean {
  return LOOPBACK_NAMES.some((name) => origin === `http://${authority(name, pagePort)}`);
}

/** URLs leave the default port out. */
function authority(name: string, port: number): string {
  return port === 80 ? name : `${name}:${port}`;
}
