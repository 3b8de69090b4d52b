import { documented, HttpProblem } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { bundlePage, type Encoding, type Page, type PageFile } from "./bundle.ts";
import type { PageSettings } from "./document.ts";

const YEAR_S = 365 * 24 * 60 * 60;
/** Of the service worker: it sends requests to the gateway, and does nothing else. */
const WORKER_POLICY = "default-src 'none'; connect-src 'self'";

const PAGE = { name: "page", description: "What a browser opens" };

/**
 * Serves the checkout page: `/`, its files under names that change with their content, and its service worker.
 *
 * The page is bundled on the first request for it, so that a restarted gateway accepts orders first.
 *
 * @param issuerOrigins where the page signs its visitors in
 */
export function pageRoutes(settings: PageSettings, issuerOrigins: () => readonly string[] = () => []) {
  let bundling: Promise<Page> | undefined;
  const page = () => {
    bundling ??= bundlePage(settings).catch((error: unknown) => {
      // The next request tries again.
      bundling = undefined;
      throw error;
    });
    return bundling;
  };
  return new Elysia()
    .get(
      "/",
      async ({ request }) => {
        const { html } = await page();
        return send(request, html, {
          "cache-control": "no-cache",
          "content-security-policy": contentSecurityPolicy(
            new URL(request.url).hostname,
            settings,
            issuerOrigins(),
          ),
        });
      },
      {
        detail: documented("The checkout page", {
          operationId: "getPage",
          tag: PAGE,
          answers: { 200: Type.String({ contentMediaType: "text/html" }), 304: null },
        }),
      },
    )
    .get(
      "/assets/:file",
      async ({ request, params: { file } }) => {
        const asset = (await page()).assets.get(file);
        if (asset === undefined) throw new HttpProblem(404, "not-found", "There is nothing at this path.");
        return send(request, asset, { "cache-control": `public, max-age=${YEAR_S}, immutable` });
      },
      { params: Type.Object({ file: Type.String({ maxLength: 100 }) }), detail: { hide: true } },
    )
    .get(
      "/service-worker.js",
      async ({ request }) =>
        send(request, (await page()).worker, {
          "cache-control": "no-cache",
          "content-security-policy": WORKER_POLICY,
        }),
      { detail: { hide: true } },
    );
}

/** RFC 9110 §13: each encoding is a representation with its own strong validator. */
function send(request: Request, file: PageFile, headers: Record<string, string>): Response {
  const encoding = preferredEncoding(request.headers.get("accept-encoding") ?? "");
  const etag = `"${file.hash}-${encoding}"`;
  const all: Record<string, string> = { ...headers, etag, vary: "accept-encoding" };
  const known = request.headers.get("if-none-match")?.split(",") ?? [];
  if (known.some((tag) => tag.trim().replace(/^W\//, "") === etag)) {
    return new Response(null, { status: 304, headers: all });
  }
  all["content-type"] = file.contentType;
  if (encoding !== "identity") all["content-encoding"] = encoding;
  return new Response(file.bodies[encoding], { headers: all });
}

/** The smallest accepted encoding. Weights are ignored, except that 0 refuses an encoding (RFC 9110 §12.5.3). */
export function preferredEncoding(accepted: string): Encoding {
  const offers = accepted.toLowerCase().split(",");
  const accepts = (name: string) =>
    offers.some((offer) => {
      const [coding, weight] = offer.split(";").map((part) => part.trim());
      return coding === name && !/^q=0(\.0*)?$/.test(weight ?? "");
    });
  if (accepts("br")) return "br";
  return accepts("gzip") ? "gzip" : "identity";
}

/** A name or an address, without the wildcard of policies. Browsers accept IPv6 addresses too. */
const HOST_SOURCE = /^([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])$/i;

/**
 * Allows the page's own files, and connections to the gateway, the notification service, the supervisor and the
 * issuer.
 *
 * @param hostname the host name in the request for the page, under which the browser connects to the others too. One
 *   that is no host-source of a policy (CSP Level 3 §2.3.1), such as `a;script-src`, is left out
 */
export function contentSecurityPolicy(
  hostname: string,
  settings: PageSettings,
  issuerOrigins: readonly string[] = [],
): string {
  const connect = ["'self'"];
  if (HOST_SOURCE.test(hostname)) {
    for (const scheme of ["ws", "wss"]) connect.push(`${scheme}://${hostname}:${settings.notificationPort}`);
    if (settings.supervisorPort !== undefined) connect.push(`http://${hostname}:${settings.supervisorPort}`);
  }
  connect.push(...issuerOrigins);
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "worker-src 'self'",
    `connect-src ${connect.join(" ")}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types service-worker",
  ].join("; ");
}
