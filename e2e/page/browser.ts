import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { chromium as chromiumTool, findTool } from "../support/test-tools.ts";

const found = await findTool(chromiumTool, process.env);

/** Why there is no browser to test with; undefined when there is one. */
export const noBrowser = found.path === undefined ? (found.problem ?? "not installed") : undefined;

/** Longer than anything here takes on a busy machine: only what never happens is waited for so long. */
export const WAIT_MS = 45_000;

/** Nothing but the store is talked to; and root, as in a container, has no sandbox. */
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

export async function launch(): Promise<Browser> {
  if (found.path === undefined) throw new Error(`no Chromium: ${noBrowser}`);
  return chromium.launch({ executablePath: found.path, args: FLAGS, timeout: WAIT_MS });
}

/** What the browser said in a context: errors, and everything that the page wrote to the console. */
export class Complaints {
  readonly #all: string[] = [];

  watch(page: Page): void {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()))
        this.#all.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.#all.push(`uncaught: ${error.message}`));
  }

  /** All but those that the browser makes of connections which a test cut, or of answers that it asked for. */
  list(expected?: RegExp): string[] {
    return this.#all.filter((text) => expected === undefined || !expected.test(text));
  }
}

/** What Chromium says, by itself, of requests to a process that is not there. */
export const LOST_CONNECTIONS = /^error: (Failed to load resource: net::ERR_|WebSocket connection to )/;

/** A visitor's browser: with nothing stored, at home in English, in a window of this width. */
export function visitor(browser: Browser, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  return browser.newContext({
    locale: "en-US",
    viewport: { width: 1280, height: 900 },
    reducedMotion: "reduce",
    ...options,
  });
}
