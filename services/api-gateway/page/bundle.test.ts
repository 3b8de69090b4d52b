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
    expect(size(one)).toBeLessThan(60_000);
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

  test("settings are escaped in the document", () => {
    const html = pageHtml(
      { notificationPort: 1, demoSignIn: true, ["x" as never]: '"><script>alert(1)</script>' as never },
      { script: "s", style: "t", icon: "i" },
    );
    expect(html).not.toContain("<script>");
  });
});
