import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium as chromiumTool, provideTools } from "@distributed-messaging/e2e/support/test-tools";
import { serviceNames } from "@distributed-messaging/services/registry";
import { openCounter } from "@distributed-messaging/supervisor/http/start";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { type Browser, chromium, type Page } from "playwright-core";
import { runCommand } from "./command/command.ts";
import { scenes } from "./screenshots/scenes.ts";
import { seedCatalogue } from "./start/seed.ts";
import { UsageError } from "./start/settings.ts";

/**
 * `bun run screenshots [-- <folder>]`: starts a store of its own, uses its page as somebody would, and writes the
 * pictures of the README. Pictures that are made by a program stay true.
 */

const FOLDER = join(ROOT, "docs/screenshots");
const WAIT_MS = 60_000;
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 860 };

async function main(): Promise<number> {
  const [folder = FOLDER] = process.argv.slice(2);
  const say = (line: string) => void process.stderr.write(`screenshots: ${line}\n`);
  const [tool] = await provideTools([chromiumTool], process.env, say);
  if (tool?.path === undefined) throw new UsageError(`no Chromium: ${tool?.problem}`);
  const dataDir = mkdtempSync(join(tmpdir(), "screenshots-"));
  const [port = 0] = freePorts(1);
  const supervisor = new Supervisor({
    dataDir,
    env: {
      AUTOMATION_TESTING: "true",
      DEMO_SIGN_IN: "true",
      LOG_LEVEL: "error",
      SUPERVISOR_PORT: String(port),
    },
  });
  const browser = await chromium.launch({ executablePath: tool.path, args: ["--no-sandbox"] });
  try {
    await supervisor.startAll();
    const counter = await openCounter(supervisor, port);
    await seedCatalogue(supervisor.url("inventory"));
    mkdirSync(folder, { recursive: true });
    await takeAll(browser, supervisor, folder, say);
    await counter.stop(0);
    return 0;
  } finally {
    await browser.close();
    await supervisor.stopAll();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function takeAll(
  browser: Browser,
  supervisor: Supervisor,
  folder: string,
  say: (line: string) => void,
): Promise<void> {
  const url = supervisor.url("api-gateway").replace("127.0.0.1", "localhost");
  for (const { name, width, scheme, show } of scenes) {
    const viewport = width === PHONE.width ? PHONE : DESK;
    const context = await browser.newContext({
      viewport,
      colorScheme: scheme,
      locale: "en-GB",
      reducedMotion: "reduce",
      isMobile: viewport === PHONE,
    });
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    await page.goto(url);
    await page.locator("[data-product]").first().waitFor();
    await show({ page, supervisor });
    const file = join(folder, `${name}.png`);
    const picture = await settled(page);
    await Bun.write(file, picture);
    say(`${name}.png, ${Math.round(picture.byteLength / 1000)} kB`);
    await context.close();
    // Whatever the scene has stopped runs in the next one.
    for (const process of ["broker", ...serviceNames]) await supervisor.start(process);
  }
}

/** The page once it looks the same twice in a row. */
async function settled(page: Page): Promise<Uint8Array> {
  let last = await page.screenshot();
  for (let attempt = 0; attempt < 20; attempt++) {
    const next = await page.screenshot();
    if (next.equals(last)) return next;
    last = next;
  }
  return last;
}

await runCommand("screenshots", main);
