import { ServiceError } from "@distributed-messaging/service/errors";

/** The host names by which a browser on this machine reaches a loopback address. */
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"] as const;

/** How long, in seconds, a browser may cache the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = 600;

export interface Guard {
  /** The supervisor's port, which the Host header has to name. */
  readonly port: number;
  /** The port of the page whose scripts may send requests. */
  readonly pagePort: number;
}

/**
 * Refuses requests of foreign pages. Other machines cannot reach the loopback address, but any page that is open in
 * a browser on this machine can send requests to it:
 *
 * - a page of another origin has that origin in `Origin`, or `cross-site` in `Sec-Fetch-Site`;
 * - a page whose host name resolves to this machine (DNS rebinding) has that name in `Host`.
 *
 * Programs such as curl send no Origin, and are allowed.
 *
 * @throws ServiceError forbidden: foreign-host | foreign-origin
 */
export function refuseForeign(request: Request, guard: Guard): void {
  const { host } = new URL(request.url);
  if (!LOOPBACK_NAMES.some((name) => host === authority(name, guard.port))) {
    throw new ServiceError(
      "forbidden",
      "foreign-host",
      "The supervisor answers to loopback host names only.",
    );
  }
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (origin === null ? site === "cross-site" : !isPage(origin, guard.pagePort)) {
    throw new ServiceError(
      "forbidden",
      "foreign-origin",
      "Only the store's page may send requests to the supervisor.",
    );
  }
}

/** The CORS headers that let the store's page, and no other, read the answer (Fetch standard). */
export function corsHeaders(request: Request, guard: Guard): Record<string, string> {
  const origin = request.headers.get("origin");
  if (origin === null || !isPage(origin, guard.pagePort)) return { vary: "origin" };
  return { "access-control-allow-origin": origin, vary: "origin" };
}

/** The further headers of the answer to a preflight. */
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
