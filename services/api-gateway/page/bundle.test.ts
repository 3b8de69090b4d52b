import { describe, expect, test } from "bun:test";
import { bundlePage } from "./bundle.ts";
import { pageHtml } from "./document.ts";

describe("the bundle", () => {
  test("is small, and reproducible", async () => {
    const settings = { notificationPort: 1, demoSignIn: true };
    const [one, other] = await Promise.all([bundlePage(settings), bundlePage(settings)]);
    const size = ({ html, assets }: typeof one) =>
      [html, ...assets.values()].reduce((sum, { bodies }) => sum + bodies.br.byteLength, 0);
    // A first visit loads less than 100 kB in all; the answers of the services are a small part of it.
    expect(size(one)).toBeLessThan(56_000);
    expect([...one.assets.keys()]).toEqual([...other.assets.keys()]);
    expect(one.worker.bodies.br.byteLength).toBeLessThan(1_500);
    expect(one.worker.hash).toBe(other.worker.hash);
    expect([...one.assets.keys()].map((name) => name.replace(/-\w+\./, "."))).toEqual(
      expect.arrayContaining(["main.js", "main.css", "icon.svg"]),
    );
    const script = new TextDecoder().decode(
      [...one.assets].find(([name]) => name.endsWith(".js"))?.[1].bodies.identity,
    );
    // The page imports only the types of the contracts, not their schemas.
    expect(script).not.toContain("TypeBox");
  });

  test("has what signs in at an issuer only where there is one", async () => {
    const oidc = { issuer: "https://issuer.example", clientId: "page", scope: "openid", parameters: "" };
    const pages = await Promise.all([
      bundlePage({ notificationPort: 1, demoSignIn: true }),
      bundlePage({ notificationPort: 1, demoSignIn: false, oidc }),
    ]);
    const scripts = pages.map(({ assets }) => [...assets].find(([name]) => name.endsWith(".js"))?.[1].bodies);
    const has = scripts.map((bodies) =>
      new TextDecoder().decode(bodies?.identity).includes("code_challenge"),
    );
    expect(has).toEqual([false, true]);
    expect(scripts[1]?.br.byteLength).toBeLessThan(54_000);
  });

  test("settings are escaped in the document", () => {
    const html = pageHtml(
      { notificationPort: 1, demoSignIn: true, ["x" as never]: '"><script>alert(1)</script>' as never },
      { script: "s", style: "t", icon: "i" },
    );
    expect(html).not.toContain("<script>");
  });
});
