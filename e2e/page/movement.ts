import type { Page } from "playwright-core";

interface Recorded {
  readonly drawn: string[];
}

/** Records every message that is drawn on the map from now on, as `message from>to`. */
export async function recordMovement(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const drawn: string[] = [];
    Object.assign(window, { drawn });
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const node of addedNodes) {
          if (!(node instanceof SVGElement) || !node.classList.contains("map-dot")) continue;
          drawn.push(`${node.dataset.message} ${node.dataset.from}>${node.dataset.to}`);
        }
      }
    }).observe(document.body, { childList: true, subtree: true });
  });
  return () => page.evaluate(() => (window as unknown as Recorded).drawn);
}
