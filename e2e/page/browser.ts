import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";
import { chromium as chromiumTool, findTool } from "../support/test-tools.ts";

const found = await findTool(chromiumTool, process.env);

/** Why no browser was found; undefined when one was. */
export const noBrowser = found.path === undefined ? (found.problem ?? "not installed") : undefined;

/** Longer than any wait takes on a busy machine. */
const WAIT_MS = 45_000;

/** No connections of the browser itself; no sandbox, which root in a container does not have. */
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

/** @param executablePath of Chromium; the one that was found by default */
export async function launch(executablePath = found.path): Promise<Browser> {
  if (executablePath === undefined) throw new Error(`no Chromium: ${noBrowser}`);
  return chromium.launch({ executablePath, args: FLAGS, timeout: WAIT_MS });
}

/** Chromium's own errors for requests to a process that is down. */
export const LOST_CONNECTIONS = /^error: (Failed to load resource: net::ERR_|WebSocket connection to )/;

/** A new browser profile, by default in English on a desktop. */
export async function visitor(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const context = await browser.newContext({
    locale: "en-US",
    viewport: { width: 1280, height: 900 },
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(WAIT_MS);
  return context;
}
