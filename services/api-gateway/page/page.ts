import { HttpProblem } from "@distributed-messaging/service/http/app";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { bundlePage, type Encoding, type Page, type PageFile } from "./bundle.ts";
import type { PageSettings } from "./document.ts";

const YEAR_S = 365 * 24 * 60 * 60;

/**
 * Serves the checkout page: `/`, and its files under names that change with their content.
 *
 * The page is bundled once, when somebody first asks for it: a gateway that has just come back from a crash has
 * orders to take, and those that take orders only never need the page.
 */
export function pageRoutes(settings: PageSettings) {
  let bundling: Promise<Page> | undefined;
  const page = () => {
    bundling ??= bundlePage(settings).catch((error: unknown) => {
      // Whatever was wrong may be mended by the time that somebody asks again.
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
          "content-security-policy": contentSecurityPolicy(new URL(request.url).hostname, settings),
        });
      },
      { detail: { summary: "The checkout page" } },
    )
    .get(
      "/assets/:file",
      async ({ request, params: { file } }) => {
        const asset = (await page()).assets.get(file);
        if (asset === undefined) throw new HttpProblem(404, "not-found", "There is nothing at this path.");
        return send(request, asset, { "cache-control": `public, max-age=${YEAR_S}, immutable` });
      },
      { params: Type.Object({ file: Type.String({ maxLength: 100 }) }), detail: { hide: true } },
    );
}

/** RFC 9110 §13: each encoding is a representation of its own, so it has a strong validator of its own. */
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

/** The smallest that the client takes. Weights are not looked at, but for the zero that refuses (RFC 9110 §12.5.3). */
export function preferredEncoding(accepted: string): Encoding {
  const offers = accepted.toLowerCase().split(",");
  const takes = (name: string) =>
    offers.some((offer) => {
      const [coding, weight] = offer.split(";").map((part) => part.trim());
      return coding === name && !/^q=0(\.0*)?$/.test(weight ?? "");
    });
  if (takes("br")) return "br";
  return takes("gzip") ? "gzip" : "identity";
}

/**
 * Nothing but the page's own files, and connections to the three places that it talks to.
 *
 * @param hostname the name under which the browser asked for the page: it asks for the others under the same one
 */
export function contentSecurityPolicy(hostname: string, settings: PageSettings): string {
  const connect = ["'self'"];
  for (const scheme of ["ws", "wss"]) connect.push(`${scheme}://${hostname}:${settings.notificationPort}`);
  if (settings.supervisorPort !== undefined) connect.push(`http://${hostname}:${settings.supervisorPort}`);
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${connect.join(" ")}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
}
