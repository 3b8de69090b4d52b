/** Longer than any condition takes on a busy machine. */
const LIMIT_MS = 45_000;
/** The pauses between two attempts, short at first. */
const FIRST_INTERVAL_MS = 2;
const MOST_INTERVAL_MS = 25;

/**
 * Calls `ask` until its answer is neither false, null nor undefined, and returns that answer. An `ask` that throws is
 * called again: a process that is starting refuses connections, and an `expect` that fails now may hold later.
 *
 * @param what for the error's text
 * @throws when there is no such answer after `limitMs`
 */
export async function eventually<Answer>(
  ask: () => Answer | Promise<Answer>,
  what = "the condition",
  limitMs: number = LIMIT_MS,
): Promise<Exclude<Answer, false | null | undefined>> {
  const startedAt = performance.now();
  for (let intervalMs = FIRST_INTERVAL_MS; ; intervalMs = Math.min(intervalMs * 1.2, MOST_INTERVAL_MS)) {
    let last: unknown;
    try {
      const answer = await ask();
      if (isGiven(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() - startedAt > limitMs) {
      throw new Error(`not within ${limitMs / 1_000} s: ${what}; the last answer: ${Bun.inspect(last)}`);
    }
    await Bun.sleep(intervalMs);
  }
}

function isGiven<Answer>(answer: Answer): answer is Exclude<Answer, false | null | undefined> {
  return answer !== false && answer !== null && answer !== undefined;
}

/**
 * The text of the error that a promise rejects with. In place of `expect(…).rejects`, which runs the event loop inside
 * the assertion and leaves it asleep until the next timer.
 */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return String(error);
  }
  return "(it did not fail)";
}
