const units = [
  { unit: "ms", ms: 1, steps: [1, 2, 5, 10, 20, 50, 100, 200, 500] },
  { unit: "s", ms: 1_000, steps: [1, 2, 5, 10, 15, 30] },
  { unit: "min", ms: 60_000, steps: [1, 2, 5, 10, 15, 30] },
  { unit: "h", ms: 3_600_000, steps: [1, 2, 3, 6, 12] },
  { unit: "d", ms: 86_400_000, steps: [1, 2, 5, 10, 20, 50, 100, 200, 500] },
] as const;

const steps = units.flatMap(({ unit, ms, steps }) => steps.map((step) => ({ unit, ms, step })));
/** At most so many steps. */
const MAX_STEPS = 5;

/** A time axis that begins at 0. */
interface Axis {
  /** Milliseconds. */
  readonly end: number;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
}

/**
 * An axis for a time span, in steps that are round in their unit: it ends at a step, and so stays as it is for a while when
 * the span grows.
 *
 * @param spanMs more than 0
 */
export function axisOf(spanMs: number): Axis {
  const fitting = steps.find(({ ms, step }) => spanMs <= MAX_STEPS * ms * step);
  const { unit, ms, step } = fitting ?? {
    unit: "d",
    ms: 86_400_000,
    step: Math.ceil(spanMs / MAX_STEPS / 86_400_000),
  };
  const count = Math.max(1, Math.ceil(spanMs / (ms * step)));
  const end = count * step * ms;
  // As `duration` writes them beside it: from a second on, not in milliseconds.
  const inSeconds = unit === "ms" && end >= 1_000;
  const ticks = Array.from({ length: count + 1 }, (_, index) => {
    const at = index * step * ms;
    return { at, label: inSeconds ? `${at / 1_000} s` : `${index * step} ${unit}` };
  });
  return { end, ticks };
}
