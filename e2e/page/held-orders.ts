import type { Page } from "playwright-core";

interface Held {
  releaseOrders: () => void;
}

/**
 * Sends the first orders of the page and holds the others until `releaseOrders`. Replaces `fetch` in the page, because
 * routing each of 500 requests through the test takes longer than sending them.
 */
export function holdOrders(page: Page, letThrough: number): Promise<unknown> {
  return page.addInitScript((most) => {
    const send = window.fetch.bind(window);
    const released = Promise.withResolvers<void>();
    (window as unknown as Held).releaseOrders = released.resolve;
    let sent = 0;
    window.fetch = (async (url, init) => {
      if (init?.method === "POST" && String(url) === "/orders" && ++sent > most) await released.promise;
      return send(url, init);
    }) as typeof fetch;
  }, letThrough);
}

export function releaseOrders(page: Page): Promise<void> {
  return page.evaluate(() => (window as unknown as Held).releaseOrders());
}
