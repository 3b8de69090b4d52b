/* Puts WebP images together as an animation (WebP container specification, developers.google.com/speed/webp/docs/riff_container). */

export interface Frame {
  /** A lossy WebP image without an alpha channel, as Chromium takes screenshots. */
  readonly image: Uint8Array;
  readonly durationMs: number;
  /** The part of the picture that it replaces: over the whole width. Its `top` is even. */
  readonly part: Part;
}

export interface Part {
  readonly top: number;
  readonly height: number;
}

const ANIMATION_FLAG = 0x02;
/** Each frame replaces its part of the picture, and leaves the rest. */
const NO_BLENDING = 0x02;
const HEADER_BYTES = 12;

/** An animation that is repeated for ever. @throws Error when there is no frame, or one is no such image */
export function animatedWebp(size: { width: number; height: number }, frames: readonly Frame[]): Uint8Array {
  if (frames.length === 0) throw new Error("an animation has frames");
  const dimensions = [...uint24(size.width - 1), ...uint24(size.height - 1)];
  const extended = chunk("VP8X", Uint8Array.from([ANIMATION_FLAG, 0, 0, 0, ...dimensions]));
  // A white background, and 0: without end.
  const animation = chunk("ANIM", Uint8Array.from([255, 255, 255, 255, 0, 0]));
  const pictures = frames.map(({ image, durationMs, part }) => {
    const place = [...uint24(0), ...uint24(part.top / 2)];
    const extent = [...uint24(size.width - 1), ...uint24(part.height - 1)];
    const header = [...place, ...extent, ...uint24(durationMs), NO_BLENDING];
    return chunk("ANMF", joined([Uint8Array.from(header), bitstream(image)]));
  });
  const content = joined([ascii("WEBP"), extended, animation, ...pictures]);
  return joined([ascii("RIFF"), uint32(content.byteLength), content]);
}

/** The chunk `VP8 ` of an image, which has its picture. */
function bitstream(image: Uint8Array): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  for (let at = HEADER_BYTES; at + 8 <= image.byteLength; ) {
    const end = at + 8 + padded(view.getUint32(at + 4, true));
    if (new TextDecoder().decode(image.subarray(at, at + 4)) === "VP8 ") return image.subarray(at, end);
    at = end;
  }
  throw new Error("not a lossy WebP image");
}

function chunk(name: string, payload: Uint8Array): Uint8Array {
  const padding = new Uint8Array(padded(payload.byteLength) - payload.byteLength);
  return joined([ascii(name), uint32(payload.byteLength), payload, padding]);
}

const padded = (length: number) => length + (length % 2);
const ascii = (text: string) => new TextEncoder().encode(text);
const uint24 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255];
const uint32 = (value: number) => Uint8Array.from([...uint24(value), (value >>> 24) & 255]);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
