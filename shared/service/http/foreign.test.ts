import { describe, expect, test } from "bun:test";
import { serveForTest } from "../testing/http.ts";
import { rawRequest } from "../testing/raw-request.ts";
import { type AllowedSources, allowedSources } from "./app.ts";

const defaults = { HOST: "127.0.0.1", ALLOWED_HOSTS: [], ALLOWED_ORIGINS: [] };

async function ask(allowed: AllowedSources, lines: readonly string[], line = "GET /hello"): Promise<string> {
  await using server = await serveForTest(
    (app) => app.get("/hello", () => "hello").post("/hello", () => "hello"),
    { allowed },
  );
  const request = [`${line} HTTP/1.1`, ...lines, "Content-Length: 0", "Connection: close"].join("\r\n");
  const answer = await rawRequest(server.listening.port, `${request}\r\n\r\n`);
  const status = answer.split(" ")[1];
  const code = /urn:problem-type:([\w-]+)/.exec(answer)?.[1];
  return code === undefined ? `${status}` : `${status} ${code}`;
}

describe("the Host of a request", () => {
  const own = allowedSources("order", { ...defaults, ALLOWED_HOSTS: ["Shop.example"] });

  test.each(["localhost:8902", "127.0.0.1", "[::1]:1", "LOCALHOST", "order:8902", "shop.example"])(
    "%s is allowed",
    async (host) => {
      expect(await ask(own, [`Host: ${host}`])).toBe("200");
    },
  );

  test.each([
    "evil.example",
    "evil.example:8902",
    "localhost.evil.example",
    "localhost.",
    "shop.example.evil.example",
    "192.0.2.1",
    "127.0.0.2",
    // Browsers read these as 127.0.0.1; as names they are nobody's.
    "2130706433",
    "0x7f000001",
    "127.1",
  ])("%s is refused", async (host) => {
    expect(await ask(own, [`Host: ${host}`])).toBe("403 foreign-host");
  });

  test("is HOST, too", async () => {
    const named = allowedSources("order", { ...defaults, HOST: "store.internal" });
    expect(await ask(named, ["Host: store.internal:8902"])).toBe("200");
    const addressed = allowedSources("order", { ...defaults, HOST: "2001:db8::1" });
    expect(await ask(addressed, ["Host: [2001:db8::1]:8902"])).toBe("200");
  });

  test.each(["0.0.0.0", "::"])("is any address, but no other name, where HOST is %s", async (HOST) => {
    const everywhere = allowedSources("order", { ...defaults, HOST });
    expect(await ask(everywhere, ["Host: 192.0.2.1:8902"])).toBe("200");
    expect(await ask(everywhere, ["Host: [2001:db8::1]:8902"])).toBe("200");
    for (const host of ["evil.example", "2130706433", "192.0.2", "192.0.2.1.evil.example"]) {
      expect(await ask(everywhere, [`Host: ${host}`])).toBe("403 foreign-host");
    }
  });

  test("is malformed when there are two, or one with a user", async () => {
    for (const lines of [
      ["Host: localhost", "Host: evil.example"],
      ["Host: localhost", "Host: localhost"],
      ["Host: user@localhost"],
    ]) {
      expect(await ask(own, lines)).toBe("400 malformed-request");
    }
  });
});

describe("the Origin of a request", () => {
  const own = allowedSources("order", { ...defaults, ALLOWED_ORIGINS: ["https://Shop.example"] }, 8900);
  const from = (origin: string, line?: string) =>
    ask(own, ["Host: localhost:8902", `Origin: ${origin}`], line);

  test.each([
    ["of the service itself", "http://localhost:8902"],
    ["of the service itself, behind TLS", "https://localhost:8902"],
    ["of the page", "http://localhost:8900"],
    ["that the settings name", "https://shop.example"],
  ])("%s is allowed", async (_, origin) => {
    for (const line of ["GET /hello", "POST /hello"]) expect(await from(origin, line)).toBe("200");
  });

  test.each([
    "null",
    "http://evil.example",
    "http://localhost",
    "http://localhost:8901",
    "https://localhost:8900",
    "http://127.0.0.1:8900",
    "http://localhost:8900.evil.example",
    "http://shop.example",
    "https://shop.example:444",
  ])("%s is refused", async (origin) => {
    for (const line of ["GET /hello", "POST /hello", "OPTIONS /hello", "HEAD /hello"]) {
      expect(await from(origin, line)).toStartWith("403");
    }
  });

  test("leaves the default port out", async () => {
    const page = { pagePort: 80 };
    expect(await ask(page, ["Host: localhost:8902", "Origin: http://localhost"])).toBe("200");
  });
});

describe("a request that a browser marks as cross-site", () => {
  const marked = (line: string, ...lines: string[]) =>
    ask({}, ["Host: localhost:8902", "Sec-Fetch-Site: cross-site", ...lines], line);

  test("is refused", async () => {
    expect(await marked("GET /hello")).toBe("403 foreign-origin");
    expect(await marked("GET /hello", "Sec-Fetch-Mode: no-cors")).toBe("403 foreign-origin");
    expect(await marked("POST /hello", "Sec-Fetch-Mode: navigate")).toBe("403 foreign-origin");
  });

  test("is allowed when its visitor follows a link", async () => {
    expect(await marked("GET /hello", "Sec-Fetch-Mode: navigate")).toBe("200");
  });
});
