/**
 * A question that many may ask and that is asked once: whoever comes while it is under way, or shortly after, gets
 * the same answer. However many pages are open, the store is asked as often as by one.
 *
 * @param maxAgeMs how old an answer may be
 */
export function askedOnce<Answer>(ask: () => Promise<Answer>, maxAgeMs: number): () => Promise<Answer> {
  let current: Promise<Answer> | undefined;
  let answeredAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (current !== undefined && performance.now() - answeredAt < maxAgeMs) return current;
    answeredAt = Number.POSITIVE_INFINITY;
    const asked = ask().finally(() => {
      answeredAt = performance.now();
    });
    current = asked;
    return asked;
  };
}
