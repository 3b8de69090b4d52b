import { ServiceError } from "../errors.ts";

/** The names by which a browser on this machine reaches a loopback address. */
const LOOPBACK_NAMES: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** Which names a server answers to, and whose pages may send it requests. */
export interface AllowedSources {
  /** Further host names and addresses, as in a Host header but without a port. The loopback names are always allowed. */
  readonly hosts?: readonly string[];
  /** Whether every IP address is allowed as host, as for a server that listens on all addresses of its machine. */
  readonly addresses?: boolean;
  /** The port of a page, on the host name of the request, whose scripts may send requests. */
  readonly pagePort?: number;
  /** Further origins (RFC 6454) whose scripts may send requests. */
  readonly origins?: readonly string[];
}

interface ListenSettings {
  readonly HOST: string;
  readonly ALLOWED_HOSTS: readonly string[];
  readonly ALLOWED_ORIGINS: readonly string[];
}

/**
 * What the settings of a service allow. It answers to its own name as well: that is its host name among containers.
 *
 * An address is safe where a name is not: DNS rebinding needs a name that the attacker's DNS server resolves.
 */
export function allowedSources(name: string, settings: ListenSettings, pagePort?: number): AllowedSources {
  const { HOST: host, ALLOWED_HOSTS: hosts, ALLOWED_ORIGINS: origins } = settings;
  return {
    hosts: [name, host.includes(":") ? `[${host}]` : host, ...hosts].map((one) => one.toLowerCase()),
    addresses: host === "0.0.0.0" || host === "::",
    origins: origins.map((one) => one.toLowerCase()),
    ...(pagePort === undefined ? {} : { pagePort }),
  };
}

/** RFC 3986 §3.2.2. An IPv4 address has four decimal numbers: browsers take 2130706433 for one, too. */
const ADDRESS = /^(\[[0-9a-f:.]+\]|\d{1,3}(\.\d{1,3}){3})$/;

/**
 * Refuses requests that a page of somebody else makes a browser send, also to servers that only this browser can reach:
 *
 * - a page whose host name resolves to this server (DNS rebinding) has that name in `Host`;
 * - a page of another origin has that origin in `Origin`, also when it opens a WebSocket, or `cross-site` in
 *   `Sec-Fetch-Site`, unless its visitor only follows a link.
 *
 * Programs such as curl send neither `Origin` nor `Sec-Fetch-Site`.
 *
 * @throws ServiceError forbidden: foreign-host | foreign-origin
 */
export function refuseForeign(request: Request, allowed: AllowedSources): void {
  const authority = (request.headers.get("host") ?? new URL(request.url).host).toLowerCase();
  const name = authority.replace(/:\d+$/, "");
  const { hosts = [], addresses = false } = allowed;
  if (!LOOPBACK_NAMES.includes(name) && !hosts.includes(name) && !(addresses && ADDRESS.test(name))) {
    throw new ServiceError(
      "forbidden",
      "foreign-host",
      "There is no such host here. ALLOWED_HOSTS adds one.",
    );
  }
  const origin = request.headers.get("origin");
  const isForeign =
    origin === null
      ? isCrossSite(request)
      : !isOwnOrigin(origin, authority) && !isPage(origin, name, allowed);
  if (isForeign) {
    throw new ServiceError(
      "forbidden",
      "foreign-origin",
      "Pages of this origin may not send requests. ALLOWED_ORIGINS adds one.",
    );
  }
}

/** Whether scripts of the request's origin may read the answer of a server at another port. */
export function isAllowedPage(request: Request, allowed: AllowedSources): boolean {
  const origin = request.headers.get("origin");
  const { hostname } = new URL(request.url);
  return origin !== null && isPage(origin, hostname, allowed);
}

/** Whether the page is one of this server. The scheme is not compared: TLS may end before this server. */
function isOwnOrigin(origin: string, authority: string): boolean {
  return origin === `http://${authority}` || origin === `https://${authority}`;
}

function isPage(origin: string, name: string, { pagePort, origins = [] }: AllowedSources): boolean {
  if (origins.includes(origin)) return true;
  // URLs leave the default port out.
  return pagePort !== undefined && origin === `http://${name}${pagePort === 80 ? "" : `:${pagePort}`}`;
}

/** The resource isolation policy of Fetch Metadata (W3C): other sites may link here, and nothing else. */
function isCrossSite({ headers, method }: Request): boolean {
  if (headers.get("sec-fetch-site") !== "cross-site") return false;
  return method !== "GET" || headers.get("sec-fetch-mode") !== "navigate";
}
