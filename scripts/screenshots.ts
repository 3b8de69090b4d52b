import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Shop } from "@distributed-messaging/e2e/page/shop";
import { chromium, provideTools } from "@distributed-messaging/e2e/support/test-tools";
import { errorText } from "@distributed-messaging/messaging";
import { serveAdminPanel } from "@distributed-messaging/supervisor/http";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { processNames, ROOT, StoreSupervisor } from "@distributed-messaging/supervisor/store";
import type { BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { seedCatalogue } from "./command/client.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { contactSheet, pictureName, variants } from "./screenshots/contact-sheet.ts";
import { untilMapRests } from "./screenshots/map-rests.ts";
import { MAX_RECORDING_BYTES, RECORDING_FILE, RECORDING_SIZE, recordSteps } from "./screenshots/recording.ts";
import { VIEW_SETTINGS } from "./screenshots/views/orders.ts";
import type { View } from "./screenshots/views/view.ts";
import { type ViewName, views } from "./screenshots/views.ts";

const FOLDER = "docs/screenshots";
const SHEET_FOLDER = ".tools/contact-sheet";

const USAGE = `usage: bun run screenshots [-- --all | --recording] [--view NAME] [FOLDER]

Starts a store, uses its page, and writes pictures of it to FOLDER (${FOLDER}). Needs Chromium.

  --all         every view and state of the page in 390, 768, 1280 and 1920 px, light and dark, with a contact sheet,
                index.html, to FOLDER (${SHEET_FOLDER})
  --view NAME   with --all, this view only; may be repeated
  --recording   the picture that moves in the README, two steps of the tour: ${RECORDING_FILE}`;

const DESKTOP = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true };

/** The pictures of the documentation. */
const PICTURES: readonly {
  readonly name: string;
  readonly view: ViewName;
  readonly options: BrowserContextOptions;
}[] = [
  { name: "shop", view: "shop-basket", options: { ...DESKTOP, colorScheme: "light" } },
  { name: "shop-phone", view: "shop-basket", options: { ...PHONE, colorScheme: "dark" } },
  { name: "order-waiting", view: "order-backordered", options: { ...DESKTOP, colorScheme: "dark" } },
  { name: "order-phone", view: "order-confirmed", options: { ...PHONE, colorScheme: "light" } },
  { name: "admin", view: "admin-inventory-stopped", options: { ...DESKTOP, colorScheme: "light" } },
  { name: "figures", view: "figures", options: { ...DESKTOP, colorScheme: "dark" } },
  { name: "tour", view: "tour-held", options: { ...DESKTOP, colorScheme: "light" } },
];

/** In a picture of the whole page, what sticks to an edge of the window would cover what is at that place. */
const UNSTUCK = ".map-compact, .basket-place, .player-controls { position: static !important }";

const say = (line: string) => void process.stderr.write(`screenshots: ${line}\n`);

/** A running store and a browser for pictures of it. */
interface PictureRun {
  readonly store: StoreSupervisor;
  readonly newVisitor: (options: BrowserContextOptions) => Promise<BrowserContext>;
  readonly folder: string;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(
    args,
    { all: { type: "boolean" }, recording: { type: "boolean" }, view: { type: "string", multiple: true } },
    1,
  );
  if (values.all && values.recording) throw new UsageError("--all and --recording exclude each other");
  if (values.view !== undefined && !values.all) throw new UsageError("--view needs --all");
  const chosen = chooseViews(values.view);
  const folder = positionals[0] ?? join(ROOT, values.all ? SHEET_FOLDER : FOLDER);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new UsageError(`'${folder}' is no folder`);
  }
  return withStore(folder, (run) => {
    if (values.all) return takeSheet(run, chosen);
    return values.recording ? record(run) : takePictures(run);
  });
}

/** @throws UsageError */
function chooseViews(names: readonly string[] | undefined): readonly View[] {
  const unknown = names?.find((name) => !views.some((view) => view.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`no view ${unknown}; expected ${views.map(({ name }) => name).join(", ")}`);
  }
  return views.filter(({ name }) => names?.includes(name) ?? true);
}

/** @param work resolves with the exit code */
async function withStore(folder: string, work: (run: PictureRun) => Promise<number>): Promise<number> {
  // It looks for Chromium when it is imported.
  const { launch, visitor } = await import("@distributed-messaging/e2e/page/browser");
  const [tool] = await provideTools([chromium], process.env, say);
  if (tool?.path === undefined) throw new CommandFailed(`no Chromium: ${tool?.problem}`);
  const dataDir = mkdtempSync(join(tmpdir(), "screenshots-"));
  const [port = 0] = freePorts(1);
  const store = new StoreSupervisor({
    dataDir,
    env: {
      ...VIEW_SETTINGS,
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
    const baseURL = store.url("api-gateway").replace("127.0.0.1", "localhost");
    const newVisitor = (options: BrowserContextOptions) =>
      visitor(browser, { baseURL, locale: "en-GB", ...options });
    const exitCode = await work({ store, newVisitor, folder });
    await adminPanel.stop(0);
    return exitCode;
  } finally {
    await browser.close();
    await store.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Brings a new visitor's page into the state of a view. */
async function withView(
  { store, newVisitor }: PictureRun,
  view: View,
  options: BrowserContextOptions,
  work: (shop: Shop) => Promise<void>,
): Promise<void> {
  const context = await newVisitor(options);
  try {
    const shop = await new Shop(await context.newPage()).open();
    await shop.page.locator("[data-product]").first().waitFor();
    await view.prepare(shop, store);
    await work(shop);
  } finally {
    await context.close();
    // It may have stopped or paused a process.
    for (const process of processNames.map((name) => store.process(name))) {
      if (process.state === "paused") process.resume();
      await process.start();
    }
  }
}

async function takePictures(run: PictureRun): Promise<number> {
  for (const { name, view: wanted, options } of PICTURES) {
    for (const view of views.filter(({ name }) => name === wanted)) {
      await withView(run, view, options, async ({ page }) => {
        const picture = await stableScreenshot(page);
        await Bun.write(join(run.folder, `${name}.png`), picture);
        say(`${name}.png, ${kilobytes(picture)}`);
      });
    }
  }
  return 0;
}

/** A view that cannot be brought about is named, and the others are taken. */
async function takeSheet(run: PictureRun, chosen: readonly View[]): Promise<number> {
  const taken: string[] = [];
  for (const [index, view] of chosen.entries()) {
    say(`${view.name} (${index + 1} of ${chosen.length})`);
    try {
      await withView(run, view, {}, ({ page }) => takeVariants(run, view, page));
      taken.push(view.name);
    } catch (error) {
      say(`${view.name}: ${errorText(error)}`);
    }
  }
  const sheet = join(run.folder, "index.html");
  await Bun.write(sheet, contactSheet(taken));
  console.log(sheet);
  return taken.length === chosen.length ? 0 : 1;
}

async function takeVariants({ folder }: PictureRun, view: View, page: Page): Promise<void> {
  // Nothing looks as if it was pointed at.
  await page.mouse.move(0, 0);
  await page.evaluate((rules) => {
    // The policy of the page refuses a style element.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(rules);
    document.adoptedStyleSheets.push(sheet);
  }, UNSTUCK);
  for (const variant of variants) {
    const { width, height, colorScheme } = variant;
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    // What is behind a dialog is dark as far as the window reaches.
    const hasDialog = (await page.locator("dialog[open]").count()) > 0;
    await untilMapRests(page);
    const picture = await stableScreenshot(page, { fullPage: !hasDialog });
    await Bun.write(join(folder, pictureName(view.name, variant)), picture);
  }
}

async function record({ newVisitor, folder }: PictureRun): Promise<number> {
  const context = await newVisitor({
    viewport: RECORDING_SIZE,
    reducedMotion: "no-preference",
    colorScheme: "light",
  });
  const shop = await new Shop(await context.newPage()).open();
  const animation = await recordSteps(shop);
  if (animation.byteLength > MAX_RECORDING_BYTES) {
    throw new CommandFailed(
      `the recording has ${kilobytes(animation)}, more than ${MAX_RECORDING_BYTES / 1000} kB`,
    );
  }
  await Bun.write(join(folder, RECORDING_FILE), animation);
  say(`${RECORDING_FILE}, ${kilobytes(animation)}`);
  await context.close();
  return 0;
}

const kilobytes = (picture: Uint8Array) => `${Math.round(picture.byteLength / 1000)} kB`;

/** A screenshot that equals the next one, or the last of 20. */
async function stableScreenshot(page: Page, options: { fullPage?: boolean } = {}): Promise<Uint8Array> {
  let last = await page.screenshot(options);
  for (let attempt = 0; attempt < 20; attempt++) {
    const next = await page.screenshot(options);
    if (next.equals(last)) return next;
    last = next;
  }
  return last;
}

await runCommand("screenshots", USAGE, main);
