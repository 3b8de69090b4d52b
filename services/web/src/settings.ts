import { isRecord, parseJson } from "./json.ts";

/** The settings that the gateway writes into the document (`services/api-gateway/page/document.ts`). */
interface PageSettings {
  /** The port of the notification service, on the host of the page. */
  readonly notificationPort: number;
  /** The port of the supervisor; absent where there is none, as in production. */
  readonly supervisorPort: number | undefined;
  /** Whether visitors can sign in under any name. */
  readonly demoSignIn: boolean;
}

/** The names of this machine in a browser. The supervisor accepts no other host name. */
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function readSettings(): PageSettings {
  const content = document.querySelector('meta[name="store-settings"]')?.getAttribute("content");
  const value = parseJson(content ?? "");
  if (!isRecord(value)) throw new Error("The document has no settings.");
  const { notificationPort, supervisorPort, demoSignIn } = value;
  if (typeof notificationPort !== "number" || typeof demoSignIn !== "boolean") {
    throw new Error("The settings of the document are not valid.");
  }
  return {
    notificationPort,
    supervisorPort: typeof supervisorPort === "number" ? supervisorPort : undefined,
    demoSignIn,
  };
}

const { notificationPort, supervisorPort, demoSignIn } = readSettings();
const { hostname, protocol } = window.location;

/** The WebSocket of the notification service. */
export const notificationsUrl = `${protocol === "https:" ? "wss" : "ws"}://${hostname}:${notificationPort}/notifications`;

/** The supervisor; undefined where there is none, as in production. */
export const supervisorUrl =
  supervisorPort === undefined || !LOOPBACK.has(hostname)
    ? undefined
    : `http://${hostname}:${supervisorPort}`;

/** Whether visitors can sign in under any name. */
export const canSignIn = demoSignIn;
