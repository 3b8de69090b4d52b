import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Shop } from "@distributed-messaging/e2e/page/shop";
import { chromium, provideTools } from "@distributed-messaging/e2e/support/test-tools";
import { serveAdminPanel } from "@distributed-messaging/supervisor/http";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { processNames, ROOT, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import type { BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { seedCatalogue } from "./command/client.ts";
import { parseOptions, runCommand, UsageError } from "./command/command.ts";
import { scenes } from "./screenshots/scenes.ts";

const USAGE = `usage: bun run screenshots [-- FOLDER]

Starts a store, uses its page, and writes the screenshots of the README to FOLDER (docs/screenshots). Needs Chromium.`;

const FOLDER = join(ROOT, "docs/screenshots");
const DEVICES = {
  desktop: { viewport: { width: 1280, height: 860 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true },
} as const;

async function main(args: readonly string[]): Promise<number> {
  const [folder = FOLDER] = parseOptions(args, {}, 1).positionals;
  // It looks for Chromium when it is imported.
  const { launch, visitor } = await import("@distributed-messaging/e2e/page/browser");
  const say = (line: string) => void process.stderr.write(`screenshots: ${line}\n`);
  const [tool] = await provideTools([chromium], process.env, say);
  if (tool?.path === undefined) throw new UsageError(`no Chromium: ${tool?.problem}`);
  const dataDir = mkdtempSync(join(tmpdir(), "screenshots-"));
  const [port = 0] = freePorts(1);
  const store = new StoreSupervisor({
    dataDir,
    env: {
      AUTOMATION_TESTING: "true",
      DEMO_SIGN_IN: "true",
      LOG_LEVEL: "error",
      SUPERVISOR_PORT: String(port),
    },
  });
  const browser = await launch(tool.path);
  try {
    await store.startAll();
    const adminPanel = await serveAdminPanel(store, port);
    await seedCatalogue(store.url("inventory"));
    mkdirSync(folder, { recursive: true });
    const newVisitor = (options: BrowserContextOptions) => visitor(browser, options);
    await takeAll(newVisitor, store, folder, say);
    await adminPanel.stop(0);
    return 0;
  } finally {
    await browser.close();
    await store.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function takeAll(
  newVisitor: (options: BrowserContextOptions) => Promise<BrowserContext>,
  store: StoreSupervisor,
  folder: string,
  say: (line: string) => void,
): Promise<void> {
  const baseURL = store.url("api-gateway").replace("127.0.0.1", "localhost");
  for (const { name, device, colorScheme, prepare } of scenes) {
    const options = { ...DEVICES[device], baseURL, colorScheme, locale: "en-GB" };
    const context = await newVisitor(options);
    const shop = await new Shop(await context.newPage()).open();
    await shop.page.locator("[data-product]").first().waitFor();
    await prepare(shop, store);
    const picture = await stableScreenshot(shop.page);
    await Bun.write(join(folder, `${name}.png`), picture);
    say(`${name}.png, ${Math.round(picture.byteLength / 1000)} kB`);
    await context.close();
    // A scene may have stopped a process.
    for (const process of processNames) await store.process(process).start();
  }
}

/** A screenshot that equals the next one, or the last of 20. */
async function stableScreenshot(page: Page): Promise<Uint8Array> {
  let last = await page.screenshot();
  for (let attempt = 0; attempt < 20; attempt++) {
    const next = await page.screenshot();
    if (next.equals(last)) return next;
    last = next;
  }
  return last;
}

await runCommand("screenshots", USAGE, main);
