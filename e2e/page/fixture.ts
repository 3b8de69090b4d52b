import { afterAll, beforeAll, describe } from "bun:test";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { OwnStore } from "../support/own-store.ts";
import { isRunningElsewhere } from "../support/store.ts";
import { Complaints, launch, noBrowser, visitor, WAIT_MS } from "./browser.ts";
import { Shop } from "./shop.ts";

/** Starting a store and a browser takes seconds; on a machine that is busy with something else, many. */
const START_LIMIT_MS = 120_000;
/** For a test that stops processes and waits for what follows. */
export const TEST_LIMIT_MS = 120_000;

/** A store of the test's own, with somebody to look behind its counter, and a browser. */
class Bench {
  readonly store: OwnStore;
  readonly supervisorPort: number;
  #browser: Browser | undefined;
  #closeCounter: () => Promise<void> = async () => {};

  constructor() {
    const [port = 0] = freePorts(1);
    this.supervisorPort = port;
    this.store = new OwnStore({ env: { SUPERVISOR_PORT: String(port) } });
  }

  async open(): Promise<void> {
    const [browser] = await Promise.all([launch(), this.store.startAll()]);
    this.#browser = browser;
    this.#closeCounter = await this.store.serveAdminPanel(this.supervisorPort);
    await this.store.seed();
  }

  async close(): Promise<void> {
    await this.#browser?.close();
    await this.#closeCounter();
    await this.store.dispose();
  }

  /** The page's address, under the name that a user types. */
  get url(): string {
    return this.store.url("api-gateway").replace("127.0.0.1", "localhost");
  }

  /** Somebody who comes to the page for the first time. */
  async visit(options: BrowserContextOptions = {}): Promise<Shop> {
    if (this.#browser === undefined) throw new Error("the bench is not open");
    const context = await visitor(this.#browser, { baseURL: this.url, ...options });
    context.setDefaultTimeout(WAIT_MS);
    const complaints = new Complaints();
    context.on("page", (page) => complaints.watch(page));
    return new Shop(context, await context.newPage(), complaints);
  }
}

/** Tests of the page. Left out where there is no browser, and where the store that runs is somebody else's. */
export const describePage: typeof describe =
  noBrowser === undefined && !isRunningElsewhere ? describe : describe.skip;

/** A bench for a `describePage`: one store and one browser for all of its tests. */
export function useBench(): Bench {
  const bench = new Bench();
  beforeAll(() => bench.open(), START_LIMIT_MS);
  afterAll(() => bench.close(), START_LIMIT_MS);
  return bench;
}
