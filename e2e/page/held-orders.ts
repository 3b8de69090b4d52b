import type { Page } from "playwright-core";

interface Held {
  releaseOrders: () => void;
}

/**
 * Lets so many orders of the page through and holds the others back, so that it is in the middle of sending them for
 * as long as a test needs. In the page itself: asking the test about each of 500 requests takes longer than sending
 * them.
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
