import type { Shop } from "@distributed-messaging/e2e/page/shop";
import { animatedWebp, type Frame, type Part } from "./animated-webp.ts";
import { untilMapRests } from "./map-rests.ts";
import { openPromise, playUntil } from "./views/tour.ts";

/** The size of the picture in the README. */
export const RECORDING_SIZE = { width: 1040, height: 660 };
export const RECORDING_FILE = "tour.webp";
export const MAX_RECORDING_BYTES = 1_500_000;

const FRAME_MS = 160;
/** Of WebP, from 0 to 100. */
const QUALITY = 50;
/** What is shown before the step and after it, so that it can be read. */
const HOLD_MS = { first: 1_500, last: 3_000 };

/** Of promise 6, each with the step before it: without the inventory four orders are accepted; it reads what it missed. */
const STEPS = [
  { after: "Stop the inventory", step: "Place 4 orders" },
  { after: "Start all but the inventory", step: "Start the inventory" },
] as const;

/** Records steps of the tour at the pace of a person. @param shop the shop, in a window of RECORDING_SIZE, with motion */
export async function recordSteps(shop: Shop): Promise<Uint8Array> {
  await openPromise(shop, 6);
  const frames: Frame[] = [];
  for (const { after, step } of STEPS) {
    await playUntil(shop, after);
    await untilMapRests(shop.page);
    frames.push(...(await recordStep(shop, step)));
  }
  return animatedWebp(RECORDING_SIZE, frames);
}

/** Records the map, which moves most of the time, and what is below it each by itself: a picture of all has many more bytes. */
async function recordStep(shop: Shop, step: string): Promise<Frame[]> {
  const browser = await shop.context.newCDPSession(shop.page);
  const { y = 0, height = 0 } = (await shop.page.locator(".map-compact").boundingBox()) ?? {};
  const edge = 2 * Math.ceil((y + height) / 2);
  const parts: Part[] = [
    { top: 0, height: edge },
    { top: edge, height: RECORDING_SIZE.height - edge },
  ];
  const captures: Capture[] = [];
  const capture = async () => {
    const scrolled = await shop.page.evaluate(() => window.scrollY);
    for (const part of parts) {
      const atMs = performance.now();
      const clip = {
        x: 0,
        y: scrolled + part.top,
        width: RECORDING_SIZE.width,
        height: part.height,
        scale: 1,
      };
      const options = { format: "webp", quality: QUALITY, clip } as const;
      const { data } = await browser.send("Page.captureScreenshot", options);
      captures.push({ part, image: Buffer.from(data, "base64"), atMs });
    }
  };
  await capture();
  let isOver = false;
  const playing = playUntil(shop, step)
    .then(() => untilMapRests(shop.page))
    .finally(() => {
      isOver = true;
    });
  while (!isOver) {
    const next = Bun.sleep(FRAME_MS);
    await capture();
    await next;
  }
  await playing;
  await capture();
  await browser.detach();
  return framesOf(captures, parts.length);
}

interface Capture {
  readonly part: Part;
  readonly image: Uint8Array;
  readonly atMs: number;
}

/**
 * How long each picture is shown; one that equals the one before it of its part prolongs what is shown.
 *
 * @param first the number of captures that are the picture before the step
 */
function framesOf(captures: readonly Capture[], first: number): Frame[] {
  const frames: { image: Uint8Array; part: Part; durationMs: number }[] = [];
  for (const [index, { image, part, atMs }] of captures.entries()) {
    const next = captures[index + 1];
    const shown = next === undefined ? HOLD_MS.last : Math.round(next.atMs - atMs);
    const durationMs = index === first - 1 ? Math.max(shown, HOLD_MS.first) : shown;
    const before = frames.findLast((frame) => frame.part === part);
    const last = frames.at(-1);
    if (last !== undefined && before !== undefined && Buffer.compare(before.image, image) === 0) {
      last.durationMs += durationMs;
    } else frames.push({ image, part, durationMs });
  }
  return frames;
}
