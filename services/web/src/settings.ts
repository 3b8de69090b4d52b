import type { PageSettings } from "@distributed-messaging/api-gateway/page/document";

/** Under which names a browser reaches its own machine; the supervisor answers under no other. */
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function read(): PageSettings {
  const content = document.querySelector('meta[name="store-settings"]')?.getAttribute("content");
  // Written by document.ts of this very bundle, from the same type.
  return JSON.parse(content ?? "{}") as PageSettings;
}

const { notificationPort, supervisorPort, demoSignIn } = read();
const { hostname, protocol } = window.location;

/** Where the notification service is, as the browser reaches it. */
export const notificationsUrl = `${protocol === "https:" ? "wss" : "ws"}://${hostname}:${notificationPort}/notifications`;

/** Where the supervisor is; undefined where there is none, as in production. */
export const supervisorUrl =
  supervisorPort === undefined || !LOOPBACK.has(hostname)
    ? undefined
    : `http://${hostname}:${supervisorPort}`;

/** Whether anybody may sign in as anybody. */
export const canSignIn = demoSignIn;
