import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { problemIn } from "../support/answers.ts";
import { Issuer } from "../support/issuer.ts";
import { OwnStore } from "../support/own-store.ts";
import { slowTest } from "../support/slow-test.ts";
import { axeViolations } from "./accessibility.ts";
import { launch, visitor } from "./browser.ts";
import { describePage, TEST_LIMIT_MS } from "./fixture.ts";
import { Shop } from "./shop.ts";

/* A store with the settings of production, whose customers and admins sign in at an OpenID Connect issuer. */

const START_LIMIT_MS = 120_000;

/** Runs in the page: keeps the close codes of its WebSockets (RFC 6455 §7.4). */
function recordCloseCodes(): void {
  const codes: number[] = [];
  Object.assign(window, { closeCodes: codes });
  window.WebSocket = class extends WebSocket {
    constructor(...options: ConstructorParameters<typeof WebSocket>) {
      super(...options);
      this.addEventListener("close", ({ code }) => codes.push(code));
    }
  };
}

function closeCodes(page: Page): Promise<readonly unknown[]> {
  return page.evaluate(() =>
    "closeCodes" in window && Array.isArray(window.closeCodes) ? window.closeCodes : [],
  );
}

describePage("with an issuer", () => {
  const issuer = new Issuer();
  const store = new OwnStore({
    env: {
      ...issuer.settings,
      NODE_ENV: "production",
      // There would be nothing to buy.
      AUTOMATION_TESTING: "true",
      ALLOW_INSECURE: "automation-testing",
    },
  });
  const baseURL = store.url("api-gateway").replace("127.0.0.1", "localhost");
  let browser: Browser;
  const visitors: BrowserContext[] = [];

  beforeAll(async () => {
    [browser] = await Promise.all([launch(), issuer.start(baseURL), store.startAll()]);
    await store.request("inventory", "/automation-testing/seed", { method: "POST" });
    await eventually(async () => (await store.products()).length === 12, "the gateway to sell the catalogue");
  }, START_LIMIT_MS);
  afterAll(async () => {
    await browser.close();
    await store.dispose();
    await issuer.stop();
  }, START_LIMIT_MS);

  // Their pages would go on asking, and slow the next test down.
  afterEach(async () => {
    for (const context of visitors.splice(0)) {
      await context.unrouteAll({ behavior: "wait" });
      await context.close();
    }
  });

  async function visit(): Promise<Shop> {
    issuer.tokenTtlS = 600;
    issuer.givesRefreshTokens = true;
    const context = await visitor(browser, { baseURL });
    visitors.push(context);
    // The issuer's own pages ask for a font of another host, and for an icon that they do not have.
    const isForeign = ({ hostname, pathname }: URL) =>
      (hostname !== "localhost" && hostname !== "127.0.0.1") || pathname === "/favicon.ico";
    await context.route(isForeign, (route) => route.fulfill({ status: 200, body: "" }));
    return new Shop(await context.newPage());
  }

  const signInButton = (page: Page) => page.getByRole("banner").getByRole("button", { name: "Sign in" });
  const name = (page: Page, customerId: string) =>
    page.getByRole("banner").getByText(customerId, { exact: true });

  /** At the issuer's own pages: a name and a password, then consent. */
  async function enterAtIssuer(page: Page, customerId: string): Promise<void> {
    await page.locator('input[name="login"]').fill(customerId);
    await page.locator('input[name="password"]').fill("any");
    await page.locator('button[type="submit"]').click();
    await page.getByRole("button", { name: "Continue" }).click();
    await name(page, customerId).waitFor();
  }

  async function signIn(shop: Shop, customerId: string): Promise<Shop> {
    await signInButton(shop.page).click();
    await enterAtIssuer(shop.page, customerId);
    return shop;
  }

  const stored = (page: Page): Promise<Record<string, string>> =>
    page.evaluate(() => JSON.parse(window.localStorage.getItem("store.session") ?? "{}"));

  /** Makes every tab of the visitor see that the token expires in this time. */
  async function letExpire(shop: Shop, inMs: number): Promise<void> {
    // A page of the same origin that is not the store's: a tab is not told of what it stores itself.
    const page = await shop.context.newPage();
    await page.goto("/liveness");
    await page.evaluate((ms) => {
      const session = JSON.parse(window.localStorage.getItem("store.session") ?? "{}");
      const expiresAt = new Date(Date.now() + ms).toISOString();
      window.localStorage.setItem("store.session", JSON.stringify({ ...session, expiresAt }));
    }, inMs);
    await page.close();
  }

  const restock = (token: string) =>
    store.request("api-gateway", "/products/PRODUCT_001/restock", {
      method: "POST",
      body: '{"quantity":1}',
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    });

  test(
    "a customer signs in, comes back to the same view, orders, and is still there after a reload",
    async () => {
      const shop = await (await visit()).open();
      await shop.add("PRODUCT_006");
      await shop.goTo("basket");
      await signIn(shop, "ann");
      expect(shop.page.url()).toBe(`${baseURL}/#/basket`);
      await shop.untilConnection("live");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.page.reload();
      await shop.untilStatus("confirmed");
      await name(shop.page, "ann").waitFor();
      const { token = "" } = await stored(shop.page);
      const headers = { authorization: `Bearer ${token}` };
      expect((await store.request("api-gateway", "/sessions/current", { headers })).body).toEqual({
        customerId: "ann",
        role: "customer",
        expiresAt: expect.any(String),
      });
      expect(shop.consoleMessages()).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a sign-out ends the session in every tab, and at the issuer",
    async () => {
      const shop = await signIn(await (await visit()).open(), "ann");
      const { refreshToken = "" } = await stored(shop.page);
      const other = await (await shop.otherTab()).open("orders");
      await name(other.page, "ann").waitFor();
      await shop.page.getByRole("button", { name: "Sign out" }).click();
      await shop.page.getByRole("button", { name: "Yes, sign me out" }).click();
      await signInButton(shop.page).waitFor();
      expect(shop.page.url()).toStartWith(`${baseURL}/`);
      await signInButton(other.page).waitFor();
      // The issuer asks for the name again, and takes the refresh token no more.
      await signIn(shop, "bob");
      const answer = await fetch(`${issuer.url}/token`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "refresh_token",
          client_id: "store-page",
          refresh_token: refreshToken,
        }),
      });
      expect(answer.status).toBe(400);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an admin of the issuer restocks; a customer neither sees how nor may",
    async () => {
      const admin = await signIn(await (await visit()).open(), "olga");
      await admin.page.getByRole("link", { name: "Behind the counter" }).click();
      const { onHand } = await store.stock("PRODUCT_003");
      const row = admin.page.locator('[data-stock="PRODUCT_003"]');
      await row.getByRole("button", { name: /^Restock/ }).click();
      await eventually(
        async () => (await store.stock("PRODUCT_003")).onHand === onHand + 10,
        "the stock to grow",
      );

      const customer = await signIn(await (await visit()).open(), "bob");
      expect(await customer.page.getByRole("link", { name: "Behind the counter" }).count()).toBe(0);
      await customer.goTo("admin");
      expect(await customer.page.locator("[data-stock]").count()).toBe(0);
      const { token = "", idToken = "" } = await stored(customer.page);
      expect(problemIn(await restock(token)).status).toBe(403);
      const headers = { authorization: `Bearer ${token}` };
      const init = { method: "DELETE", headers };
      expect(problemIn(await store.request("inventory", "/automation-testing/all", init)).status).toBe(403);
      // An ID token is for the page, not for the services.
      expect(problemIn(await restock(idToken)).status).toBe(401);
      const { token: adminToken = "" } = await stored(admin.page);
      expect((await restock(adminToken)).status).toBe(202);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a token is renewed before it expires, once for all tabs, without a gap and without its customer",
    async () => {
      const shop = await signIn(await (await visit()).open(), "ann");
      const other = await (await shop.otherTab()).open();
      const tabs = [shop, other];
      const reconnects = tabs.map(() => 0);
      for (const [index, tab] of tabs.entries()) {
        await tab.untilConnection("live");
        tab.page.on("websocket", () => {
          reconnects[index] = (reconnects[index] ?? 0) + 1;
        });
      }
      let renewals = 0;
      shop.context.on("request", (request) => {
        if ((request.postData() ?? "").includes("grant_type=refresh_token")) renewals += 1;
      });
      const first = await stored(shop.page);
      await letExpire(shop, 1_000);
      await eventually(
        async () => (await stored(shop.page)).token !== first.token,
        "the token to be renewed",
      );
      for (const tab of tabs) {
        await tab.untilConnection("live");
        await tab.goTo("");
        await tab.add("PRODUCT_006");
        await tab.checkOut();
        await tab.untilStatus("confirmed");
      }
      expect(reconnects).toEqual([1, 1]);
      expect((await stored(shop.page)).refreshToken).not.toBe(first.refreshToken);
      expect(renewals).toBe(1);
      expect(shop.consoleMessages()).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a WebSocket closes with 1008 when its token expires; the page reconnects once the token is renewed",
    async () => {
      const shop = await visit();
      await shop.page.addInitScript(recordCloseCodes);
      await signIn(await shop.open(), "ann");
      await shop.untilConnection("live");
      // One renewal, for a token that is valid for a short time; the next one gets no answer.
      issuer.tokenTtlS = 10;
      let renewals = 0;
      await shop.context.route(`${issuer.url}/token`, (route) => {
        renewals += 1;
        return renewals === 1 ? route.continue() : route.abort();
      });
      await letExpire(shop, 1_000);
      await eventually(async () => (await closeCodes(shop.page)).includes(1008), "the WebSocket to close");
      await shop.page.getByRole("alert").getByText("cannot be renewed just now").waitFor();
      issuer.tokenTtlS = 600;
      await shop.context.unroute(`${issuer.url}/token`);
      await shop.untilConnection("live");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      expect(await shop.page.getByRole("alert").count()).toBe(0);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "without refresh tokens, an expired session ends with a way to sign in again, and what is in the basket stays",
    async () => {
      const shop = await (await visit()).open();
      issuer.givesRefreshTokens = false;
      await shop.add("PRODUCT_006");
      await signIn(shop, "ann");
      await letExpire(shop, 3_000);
      await shop.page.getByRole("button", { name: "Sign in again" }).click();
      // The issuer still knows her.
      await name(shop.page, "ann").waitFor();
      await shop.checkOut();
      await shop.untilStatus("confirmed");
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a new token that is refused like the one before ends the session, instead of being renewed for ever",
    async () => {
      const shop = await signIn(await (await visit()).open(), "ann");
      let renewals = 0;
      shop.context.on("request", (request) => {
        if ((request.postData() ?? "").includes("grant_type=refresh_token")) renewals += 1;
      });
      // The page is away meanwhile: a reload would end a renewal that is under way, and begin another.
      await shop.page.goto("/liveness");
      const refusal = { status: 401, contentType: "application/problem+json", body: '{"title":"No"}' };
      await shop.context.route(`${baseURL}/orders?*`, (route) => route.fulfill(refusal));
      await shop.open();
      await shop.page.getByRole("button", { name: "Sign in again" }).waitFor();
      expect(renewals).toBe(1);
      // Whom to ask to sign in again, and no token.
      expect(await stored(shop.page)).toEqual({ customerId: "ann" });
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "axe finds no violation where visitors sign in, are asked to, and administrate",
    async () => {
      const shop = await (await visit()).open("orders");
      expect(await axeViolations(shop.page)).toEqual([]);
      await shop.page.goto("/?code=stolen&state=forged");
      await shop.page.getByRole("alert").waitFor();
      expect(await axeViolations(shop.page)).toEqual([]);
      await signIn(shop, "olga");
      await shop.goTo("admin");
      await shop.page.locator("[data-stock]").first().waitFor();
      expect(await axeViolations(shop.page)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "while the issuer is down, sessions go on, also after a restart of every service; nobody new signs in",
    async () => {
      const shop = await signIn(await (await visit()).open(), "ann");
      const other = await (await visit()).open();
      await issuer.stop();
      try {
        for (const service of ["api-gateway", "inventory", "order", "notification"] as const) {
          await store.process(service).stop();
          await store.process(service).start();
        }
        await shop.page.reload();
        await shop.untilConnection("live");
        await shop.add("PRODUCT_006");
        await shop.checkOut();
        await shop.untilStatus("confirmed");
        await signInButton(other.page).click();
        await other.page.getByRole("alert").getByText("Nobody can sign in just now").waitFor();
      } finally {
        await issuer.start(baseURL);
      }
      await other.page.getByRole("button", { name: "Try again" }).click();
      await enterAtIssuer(other.page, "bob");
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an answer of the issuer that this visitor did not ask for signs nobody in",
    async () => {
      const shop = await visit();
      await shop.page.goto("/?code=stolen&state=forged");
      await shop.page.getByRole("alert").getByText("This sign-in was not begun here").waitFor();
      expect(shop.page.url()).toBe(`${baseURL}/`);
      // Begun here, but with the answer to another one.
      await signInButton(shop.page).click();
      await shop.page.locator('input[name="login"]').waitFor();
      await shop.page.goto("/?code=stolen&state=forged");
      await shop.page.getByRole("alert").getByText("The sign-in was not completed").waitFor();
      expect(await stored(shop.page)).toEqual({});
    },
    TEST_LIMIT_MS,
  );

  test("there is no demo sign-in", async () => {
    const init = {
      method: "POST",
      body: '{"customerId":"ann"}',
      headers: { "content-type": "application/json" },
    };
    expect(problemIn(await store.request("api-gateway", "/sessions", init)).status).toBe(404);
  });
});
