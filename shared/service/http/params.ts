import { FormatRegistry, Type } from "@sinclair/typebox";
import { durationToMs } from "../duration.ts";

/** In a schema: what its document is to say in place of what it checks. */
export const DESCRIBED_AS = "x-described-as";

/** More digits than any range here has, and few enough for a number to hold them exactly. */
const DIGITS = /^\d{1,15}$/;

/**
 * A whole number in a path or a query, where everything is text: `?limit=20` → 20. Elysia turns `Type.Number`
 * there into a number but not `Type.Integer`, accepts `1e1`, and reports what is out of range without saying
 * which parameter it was.
 */
export function IntegerParam(range: { minimum: number; maximum: number }) {
  const { minimum, maximum } = range;
  const format = `an integer from ${minimum} to ${maximum}`;
  FormatRegistry.Set(
    format,
    (text) => DIGITS.test(text) && Number(text) >= minimum && Number(text) <= maximum,
  );
  return Type.Transform(Type.String({ format, [DESCRIBED_AS]: { type: "integer", minimum, maximum } }))
    .Decode((text) => Number(text))
    .Encode((value) => String(value));
}

const DURATION = "a duration such as 30s, 15m, 1h or 7d";
FormatRegistry.Set(DURATION, (text) => durationToMs(text) !== undefined);

/** A length of time as people write it, in a query or a body: read it with `durationToMs`. */
export const DurationText = Type.String({ format: DURATION });
