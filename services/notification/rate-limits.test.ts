import { expect, test } from "bun:test";
import { startNotificationFixture } from "./testing/fixture.ts";

/** The handshake of a WebSocket, whose answer a browser would not show. */
function handshake(url: string, token: string): Promise<Response> {
  return fetch(`${url}/notifications?token=${token}`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": btoa("0123456789abcdef"),
    },
  });
}

test("a customer opens too many WebSockets: 429 with Retry-After; another customer opens one", async () => {
  const { fixture, tokenOf } = await startNotificationFixture({ RATE_LIMIT_WEBSOCKETS: "2" });
  await using service = fixture;
  const [eve, ann] = [await tokenOf("EVE"), await tokenOf("ANN")];
  const opened = async (token: string) => {
    const socket = new WebSocket(`${service.url.replace("http", "ws")}/notifications`, ["bearer", token]);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.addEventListener("open", () => resolve(true));
      socket.addEventListener("close", () => resolve(false));
    });
    socket.close();
    return isOpen;
  };
  expect([await opened(eve), await opened(eve), await opened(eve)]).toEqual([true, true, false]);
  const refused = await handshake(service.url, eve);
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ type: "urn:problem-type:rate-limited" });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await opened(ann)).toBe(true);
});
