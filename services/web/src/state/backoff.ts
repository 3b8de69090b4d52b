/** The first pause, and the longest. */
const FIRST_MS = 300;
const MOST_MS = 5_000;

/**
 * How long to wait before the next try, with jitter: pages that lost the store together do not come back together.
 *
 * @param failures how many tries have failed, from 1
 */
export function backoffMs(failures: number): number {
  const ceiling = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(ceiling * (0.5 + Math.random() / 2));
}
