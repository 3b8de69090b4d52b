/** Longer than anything here takes on a busy machine: only what never happens is waited for so long. */
const LIMIT_MS = 45_000;
const INTERVAL_MS = 25;

/**
 * Asks again and again until the answer is neither false nor nothing. What throws is asked again: a process
 * that is just starting refuses connections, and an `expect` that fails now may hold in a moment.
 *
 * @param what completes "waited for …" when it never comes true
 */
export async function eventually<Answer>(
  what: string,
  ask: () => Answer | Promise<Answer>,
  limitMs: number = LIMIT_MS,
): Promise<Exclude<Answer, false | null | undefined>> {
  const startedAt = performance.now();
  for (;;) {
    let last: unknown;
    try {
      const answer = await ask();
      if (isGiven(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() - startedAt > limitMs) {
      throw new Error(`waited ${limitMs / 1_000} s for ${what}; the last answer: ${Bun.inspect(last)}`);
    }
    await Bun.sleep(INTERVAL_MS);
  }
}

function isGiven<Answer>(answer: Answer): answer is Exclude<Answer, false | null | undefined> {
  return answer !== false && answer !== null && answer !== undefined;
}
