import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bundlePage, type PageFile } from "@distributed-messaging/api-gateway/page/bundle";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import type { Browser, Page } from "playwright-core";
import { launch, noBrowser, visitor } from "./browser.ts";
import { Shop } from "./shop.ts";

/* The service worker of the page, at a stand-in for the gateway whose versions and answers the tests choose. */

type Answer = () => Response | Promise<Response>;

const html = (body: string, status = 200) =>
  new Response(`<!doctype html>${body}`, { status, headers: { "content-type": "text/html" } });

/** What the page's document has, and no other. */
const MARK = '<meta name="store-settings" content="{}">';

class FakeGateway {
  readonly #port = freePorts(1)[0] ?? 0;
  readonly url = `http://localhost:${this.#port}`;
  readonly #worker: PageFile;
  #server: ReturnType<typeof Bun.serve> | undefined;
  version = 1;
  /** Added to the script of the worker. */
  addition = "";
  /** In place of the document. */
  answer: Answer | undefined;

  constructor(worker: PageFile) {
    this.#worker = worker;
  }

  start(): void {
    this.#server = Bun.serve({
      port: this.#port,
      hostname: "127.0.0.1",
      fetch: (request) => this.#respond(new URL(request.url).pathname),
    });
  }

  async kill(): Promise<void> {
    await this.#server?.stop(true);
  }

  #respond(path: string): Response | Promise<Response> {
    const { contentType, bodies } = this.#worker;
    if (path === "/service-worker.js") {
      return new Response(new Blob([bodies.identity, this.addition]), {
        headers: { "content-type": contentType },
      });
    }
    if (path === "/") return (this.answer ?? this.document)();
    if (path === `/assets/main-${this.version}.js`) {
      const script = `document.title = "version ${this.version}"; navigator.serviceWorker.register("/service-worker.js")`;
      return new Response(script, { headers: { "content-type": "text/javascript" } });
    }
    return path === "/orders" ? Response.json([{ orderId: "SECRET" }]) : new Response(null, { status: 404 });
  }

  readonly document: Answer = () => html(`${MARK}<script src="/assets/main-${this.version}.js"></script>`);
}

// The essential one of these runs always: that of outage.test.ts.
const isSkipped = noBrowser !== undefined || process.env.SLOW_TESTS !== "true";

describe.skipIf(isSkipped)("the service worker", () => {
  let browser: Browser;
  let worker: PageFile;

  beforeAll(async () => {
    [browser, { worker }] = await Promise.all([
      launch(),
      bundlePage({ notificationPort: 1, demoSignIn: true }),
    ]);
  });
  afterAll(() => browser.close());

  /** A visitor whose browser has the page of a gateway. */
  async function visit(): Promise<{ page: Page; gateway: FakeGateway } & AsyncDisposable> {
    const gateway = new FakeGateway(worker);
    gateway.start();
    const context = await visitor(browser, { baseURL: gateway.url });
    const page = await context.newPage();
    await page.goto("/");
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    return {
      page,
      gateway,
      async [Symbol.asyncDispose]() {
        await context.close();
        await gateway.kill();
      },
    };
  }

  const titleOf = async (page: Page) => {
    await page.goto("/");
    return page.title();
  };

  const untilKept = (page: Page, ...paths: string[]) =>
    eventually(
      async () => Bun.deepEquals((await new Shop(page).keptPaths()).sort(), paths.sort()),
      `only ${paths} to be kept`,
    );

  test("opens the page while the gateway is down: after a reload, in another tab, at every view", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    await gateway.kill();
    await page.reload();
    expect(await page.title()).toBe("version 1");
    const other = await page.context().newPage();
    await other.goto("/#/orders/A");
    expect(await other.title()).toBe("version 1");
  });

  test("shows a new version at once, keeps it, and keeps nothing of the one before", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    await untilKept(page, "/", "/assets/main-1.js");
    gateway.version = 2;
    expect(await titleOf(page)).toBe("version 2");
    await untilKept(page, "/", "/assets/main-2.js");
    await gateway.kill();
    expect(await titleOf(page)).toBe("version 2");
    gateway.version = 3;
    gateway.start();
    expect(await titleOf(page)).toBe("version 3");
  });

  test("is itself replaced by a later version, while tabs are open", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    gateway.addition = 'addEventListener("activate", () => caches.open("later version"));';
    await titleOf(await page.context().newPage());
    await eventually(
      () => page.evaluate(() => caches.has("later version")),
      "the later version to be activated",
    );
  });

  test("keeps the version before when a file of the new one cannot be loaded", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    gateway.answer = () => html(`${MARK}<title>half</title><script src="/assets/main-2.js"></script>`);
    expect(await titleOf(page)).toBe("half");
    gateway.answer = () => html("", 503);
    expect(await titleOf(page)).toBe("version 1");
    await untilKept(page, "/", "/assets/main-1.js");
  });

  test("keeps no answer of the HTTP interface, and no address of a sign-in", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    const ask = () =>
      page.evaluate(() =>
        fetch("/orders").then(
          (response) => response.text(),
          () => "no answer",
        ),
      );
    expect(await ask()).toContain("SECRET");
    await page.goto("/orders");
    await page.goto("/?code=SECRET&state=SECRET");
    await untilKept(page, "/", "/assets/main-1.js");
    await gateway.kill();
    expect(await ask()).toBe("no answer");
    await expect(page.goto("/orders")).rejects.toThrow("ERR_CONNECTION_REFUSED");
  });

  test("shows the kept page where a proxy answers for the gateway, and keeps no notice of a proxy", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    gateway.answer = () => html("<title>Bad gateway</title>", 502);
    expect(await titleOf(page)).toBe("version 1");
    gateway.answer = () => html("<title>Sign in to the network</title>");
    expect(await titleOf(page)).toBe("Sign in to the network");
    // Another project at the same port, with assets of its own.
    gateway.answer = () => html('<title>Another project</title><img src="/assets/main-1.js">');
    expect(await titleOf(page)).toBe("Another project");
    await gateway.kill();
    expect(await titleOf(page)).toBe("version 1");
  });

  test("shows the notice of a proxy where no page is kept", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    await page.evaluate(() => caches.delete("shell"));
    gateway.answer = () => html("<title>Maintenance until noon</title>", 503);
    expect(await titleOf(page)).toBe("Maintenance until noon");
  });

  test("shows the kept page when the gateway is slow, and the late one the next time", async () => {
    await using visited = await visit();
    const { page, gateway } = visited;
    const late = Promise.withResolvers<void>();
    gateway.version = 2;
    gateway.answer = async () => {
      await late.promise;
      return gateway.document();
    };
    expect(await titleOf(page)).toBe("version 1");
    late.resolve();
    await untilKept(page, "/", "/assets/main-2.js");
    await gateway.kill();
    expect(await titleOf(page)).toBe("version 2");
  });
});
