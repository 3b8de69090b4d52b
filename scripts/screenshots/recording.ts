import type { Shop } from "@distributed-messaging/e2e/page/shop";
import { animatedWebp, type Frame } from "./animated-webp.ts";

/** The size of the picture in the README. */
export const RECORDING_SIZE = { width: 1120, height: 700 };
export const RECORDING_FILE = "tour.webp";
export const MAX_RECORDING_BYTES = 1_500_000;

const FRAME_MS = 125;
/** Of WebP, from 0 to 100. */
const QUALITY = 62;
/** What is shown before the step and after it, so that it can be read. */
const HOLD_MS = { first: 1_000, last: 3_500 };

/** A step of the tour: the gateway is killed, and the order that it had accepted is confirmed. */
async function playStep(shop: Shop): Promise<void> {
  const promise = shop.page.locator('[data-promise="1"]');
  await promise.getByRole("button", { name: /^All at once: / }).click();
  await shop.page.locator('[data-promise="1"][data-state="held"]').waitFor();
  await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
}

/** Records a step of the tour. @param shop the tour, in a window of RECORDING_SIZE, with motion */
export async function recordStep(shop: Shop): Promise<Uint8Array> {
  const browser = await shop.context.newCDPSession(shop.page);
  const captures: { readonly image: Uint8Array; readonly atMs: number }[] = [];
  const capture = async () => {
    const atMs = performance.now();
    const options = { format: "webp", quality: QUALITY } as const;
    const { data } = await browser.send("Page.captureScreenshot", options);
    captures.push({ image: Buffer.from(data, "base64"), atMs });
  };
  await capture();
  let isOver = false;
  const playing = playStep(shop).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const next = Bun.sleep(FRAME_MS);
    await capture();
    await next;
  }
  await playing;
  await capture();
  return animatedWebp(RECORDING_SIZE, framesOf(captures));
}

/** How long each picture is shown; one that equals the picture before it prolongs that. */
function framesOf(captures: readonly { readonly image: Uint8Array; readonly atMs: number }[]): Frame[] {
  const frames: { image: Uint8Array; durationMs: number }[] = [];
  for (const [index, { image, atMs }] of captures.entries()) {
    const next = captures[index + 1];
    const shown = next === undefined ? HOLD_MS.last : Math.round(next.atMs - atMs);
    const durationMs = index === 0 ? Math.max(shown, HOLD_MS.first) : shown;
    const last = frames.at(-1);
    if (last !== undefined && Buffer.compare(last.image, image) === 0) last.durationMs += durationMs;
    else frames.push({ image, durationMs });
  }
  return frames;
}
