import { test } from "bun:test";

/** With `SLOW_TESTS=true`, as in `.ci/run`. */
export const runsSlowTests = process.env.SLOW_TESTS === "true";

/** A test that takes too long for `npm test`, in which a shorter one shows the greater part of it. */
export const slowTest = test.skipIf(!runsSlowTests);
