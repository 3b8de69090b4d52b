import { describe, expect, test } from "bun:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { createHttpApp } from "@distributed-messaging/service/http";
import { createLogger } from "@distributed-messaging/service/log";
import { createMetrics } from "@distributed-messaging/service/metrics";
import { contentSecurityPolicy, pageRoutes, preferredEncoding } from "./page.ts";

const settings = { notificationPort: 8903, supervisorPort: 8909, demoSignIn: true };
const app = createHttpApp({
  app: "test",
  log: createLogger("test", "silent"),
  metrics: createMetrics("test"),
});
app.use(pageRoutes(settings));

const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  app.handle(new Request(`http://localhost:8900${path}`, { method, headers }));
const assetIn = (html: string, extension: string) =>
  new RegExp(`/assets/[\\w.-]+\\.${extension}`).exec(html)?.[0] ?? "none";

describe("GET /", () => {
  test("is the document with the settings, without resources of other hosts", async () => {
    const response = await ask("/");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const html = await response.text();
    expect(html).toContain("&quot;supervisorPort&quot;:8909");
    expect(html).not.toMatch(/(src|href)="(?!\/assets\/)/);
  });

  test("without a supervisor and without demo sign-in, the settings and the policy name neither", async () => {
    const production = pageRoutes({ notificationPort: 8903, demoSignIn: false });
    const response = await production.handle(new Request("http://localhost:8900/"));
    const html = await response.text();
    expect(html).toContain("&quot;demoSignIn&quot;:false");
    expect(html).not.toContain("supervisor");
    expect(response.headers.get("content-security-policy")).not.toContain("http://");
  });

  test("with an issuer, the settings and the policy name it; the policy also where its token endpoint is", async () => {
    const oidc = { issuer: "https://id.example/x", clientId: "page", scope: "openid", parameters: "a=b&c=d" };
    let origins = ["https://id.example"];
    const routes = pageRoutes({ notificationPort: 8903, demoSignIn: false, oidc }, () => origins);
    const load = () => routes.handle(new Request("http://localhost:8900/"));
    const first = await load();
    expect(await first.text()).toContain("&quot;parameters&quot;:&quot;a=b&amp;c=d&quot;");
    expect(first.headers.get("content-security-policy")).toMatch(/connect-src [^;]+ https:\/\/id\.example;/);
    origins = ["https://id.example", "https://tokens.example"];
    expect((await load()).headers.get("content-security-policy")).toContain(
      " https://id.example https://tokens.example;",
    );
  });

  test("names files that exist and are cached as immutable", async () => {
    const html = await (await ask("/")).text();
    for (const [extension, type] of [
      ["js", "text/javascript; charset=utf-8"],
      ["css", "text/css; charset=utf-8"],
      ["svg", "image/svg+xml"],
    ] as const) {
      const response = await ask(assetIn(html, extension));
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(type);
      expect(response.headers.get("cache-control")).toContain("immutable");
    }
    expect((await ask("/assets/nothing.js")).status).toBe(404);
    expect((await ask("/assets/..%2fmain.ts")).status).toBe(404);
  });

  test("is revalidated on each request, and sent only when it has changed", async () => {
    const first = await ask("/", { "accept-encoding": "br" });
    expect(first.headers.get("cache-control")).toBe("no-cache");
    const etag = first.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[\w-]+"$/);
    const again = await ask("/", { "accept-encoding": "br", "if-none-match": `"other", ${etag}` });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe("");
    expect((await ask("/", { "accept-encoding": "gzip", "if-none-match": etag })).status).toBe(200);
  });

  test("is compressed, with an ETag per encoding", async () => {
    const plain = await ask("/", { "accept-encoding": "identity" });
    const text = await plain.text();
    const gzip = await ask("/", { "accept-encoding": "gzip" });
    const br = await ask("/", { "accept-encoding": "gzip, deflate, br, zstd" });
    expect(gunzipSync(new Uint8Array(await gzip.arrayBuffer())).toString()).toBe(text);
    expect(brotliDecompressSync(new Uint8Array(await br.arrayBuffer())).toString()).toBe(text);
    expect(new Set([plain, gzip, br].map(({ headers }) => headers.get("etag"))).size).toBe(3);
    for (const { headers } of [plain, gzip, br]) expect(headers.get("vary")).toBe("accept-encoding");
    expect(plain.headers.get("content-encoding")).toBeNull();
  });

  test("HEAD has the same headers and no body", async () => {
    const head = await ask("/", { "accept-encoding": "br" }, "HEAD");
    expect(head.headers.get("etag")).toBe((await ask("/", { "accept-encoding": "br" })).headers.get("etag"));
    expect(await head.text()).toBe("");
  });
});

test("the service worker is a script for every path, asked for again each time, that may connect to the gateway only", async () => {
  const response = await ask("/service-worker.js");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect(response.headers.get("cache-control")).toBe("no-cache");
  expect(response.headers.get("content-security-policy")).toBe("default-src 'none'; connect-src 'self'");
  // A classic script.
  expect(await response.text()).not.toMatch(/\b(import|export)\b/);
});

test("the policy allows the page's own files, and connections under the host name of the request", async () => {
  const policy = (await ask("/")).headers.get("content-security-policy") ?? "";
  expect(policy).toStartWith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ");
  expect(policy).toContain(
    "connect-src 'self' ws://localhost:8903 wss://localhost:8903 http://localhost:8909;",
  );
  expect(policy).toContain("; worker-src 'self'; ");
  expect(policy).toEndWith("; require-trusted-types-for 'script'; trusted-types service-worker");
  expect(policy).not.toContain("unsafe");
  const production = contentSecurityPolicy("shop.example", { notificationPort: 8903, demoSignIn: false });
  expect(production).toContain("connect-src 'self' ws://shop.example:8903 wss://shop.example:8903;");
});

test.each(["localhost;script-src *", "a;script-src-elem", "*", "a'unsafe-inline'", "a,b", "shop.example."])(
  "the policy does not repeat a host name that could change it: %s",
  async (host) => {
    const plain = contentSecurityPolicy(host, settings);
    expect(plain).toContain("; connect-src 'self'; form-action");
    const response = await app.handle(new Request("http://localhost:8900/", { headers: { host } }));
    const policy = response.headers.get("content-security-policy");
    expect([response.ok, policy?.includes(host) ?? false]).toEqual([false, false]);
  },
);

test.each([
  ["", "identity"],
  ["br;q=1.0, gzip;q=0.8", "br"],
  ["BR", "br"],
  ["gzip", "gzip"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0.0,gzip;q=0.000", "identity"],
  ["*", "identity"],
  ["brotli", "identity"],
] as const)("Accept-Encoding: %s gives %s", (accepted, encoding) => {
  expect(preferredEncoding(accepted)).toBe(encoding);
});
