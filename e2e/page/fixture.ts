import { afterAll, beforeAll, describe } from "bun:test";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import type { TrafficReport } from "@distributed-messaging/supervisor/reports";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { OwnStore } from "../support/own-store.ts";
import { isRunningElsewhere } from "../support/store.ts";
import { launch, noBrowser, visitor } from "./browser.ts";
import { Shop } from "./shop.ts";

/** Starting a store and a browser takes seconds, on a busy machine many. */
const START_LIMIT_MS = 120_000;
/** For a test that stops processes. */
export const TEST_LIMIT_MS = 120_000;

/** A store with a supervisor, and a browser. */
class PageFixture {
  readonly store: OwnStore;
  readonly #supervisorPort: number;
  #browser: Browser | undefined;
  #stopServing: () => Promise<void> = async () => {};

  constructor(options: { readonly replicas?: number }) {
    const [port = 0] = freePorts(1);
    this.#supervisorPort = port;
    this.store = new OwnStore({ ...options, env: { SUPERVISOR_PORT: String(port) } });
  }

  async start(): Promise<void> {
    const [browser] = await Promise.all([launch(), this.store.startAll()]);
    this.#browser = browser;
    this.#stopServing = await this.store.serveAdminPanel(this.#supervisorPort);
    await this.store.seed();
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    await this.#stopServing();
    await this.store.dispose();
  }

  /** What has moved through the broker, as the page asks. @param after the `next` of an earlier answer */
  async traffic(after: number): Promise<TrafficReport> {
    const response = await fetch(`http://localhost:${this.#supervisorPort}/traffic?after=${after}`);
    return response.json();
  }

  /** A new visitor on an empty page. */
  async visit(options: BrowserContextOptions = {}): Promise<Shop> {
    if (this.#browser === undefined) throw new Error("the fixture is not started");
    const baseURL = this.store.url("api-gateway").replace("127.0.0.1", "localhost");
    const context = await visitor(this.#browser, { baseURL, ...options });
    return new Shop(await context.newPage());
  }
}

/** Tests of the page. Skipped without a browser, and by `test-e2e-local`. */
export const describePage: typeof describe =
  noBrowser === undefined && !isRunningElsewhere ? describe : describe.skip;

/** A store and a browser for the tests of a `describePage`. @param options replicas: as `npm start -- --replicas` */
export function usePageFixture(options: { readonly replicas?: number } = {}): PageFixture {
  const fixture = new PageFixture(options);
  beforeAll(() => fixture.start(), START_LIMIT_MS);
  afterAll(() => fixture.stop(), START_LIMIT_MS);
  return fixture;
}

/** SIGKILL, and no restart. */
export async function killGateway(store: OwnStore): Promise<void> {
  const gateway = store.process("api-gateway");
  await gateway.kill();
  await gateway.stop();
}
