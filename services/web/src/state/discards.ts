import { signal } from "@preact/signals";
import { discardDeadLetter, showDeadLetter } from "../api/admin.ts";
import { messageOf, Refused } from "../api/request.ts";
import type { DeadLetterDetails } from "../api/types.ts";
import { announce } from "./announcer.ts";

/** How long a discard can be undone; `.undo-time` in the style sheet runs as long. */
const UNDO_MS = 8_000;

/** The dead letters that are discarded in a moment, as `service/id`. */
export const discards = signal<ReadonlySet<string>>(new Set());
/** Why the last discard of a dead letter failed. */
export const discardProblems = signal<ReadonlyMap<string, string>>(new Map());

const timers = new Map<string, ReturnType<typeof setTimeout>>();

export const keyOf = (service: string, id: number) => `${service}/${id}`;

/**
 * Discards a dead letter after UNDO_MS, unless it is undone, or another message by then: what is discarded is what was
 * confirmed. The request is sent at the end only. When the page is closed before, the dead letter stays.
 *
 * @param refresh takes the key of what is gone out of the list
 */
export function discardSoon(
  service: string,
  { id, ...confirmed }: DeadLetterDetails,
  refresh: (gone?: string) => Promise<void>,
): void {
  const key = keyOf(service, id);
  if (discards.peek().has(key)) return;
  setProblem(key, undefined);
  timers.set(
    key,
    setTimeout(async () => {
      // The request is sent: from here on it cannot be undone.
      timers.delete(key);
      let gone: string | undefined;
      try {
        const current = await showDeadLetter(service, id);
        if (!isSameMessage(confirmed, current)) {
          throw new Error("Somebody else has edited the message meanwhile.");
        }
        await discardDeadLetter(service, id, "discarded in the admin panel");
        gone = key;
        announce("The message is discarded.");
      } catch (error) {
        // Another operator has replayed or discarded it.
        if (error instanceof Refused && error.status === 404) {
          gone = key;
          announce("The message is gone already.");
        } else setProblem(key, `It was not discarded. ${messageOf(error)}`);
      } finally {
        // Before it is shown as not discarded again.
        await refresh(gone);
        end(key);
      }
    }, UNDO_MS),
  );
  discards.value = new Set([...discards.peek(), key]);
}

/** Keeps a dead letter whose discard is not sent yet. @returns whether it is kept; false once the request is sent */
export function undoDiscard(service: string, id: number): boolean {
  const key = keyOf(service, id);
  if (!timers.has(key)) return false;
  clearTimeout(timers.get(key));
  end(key);
  return true;
}

function end(key: string): void {
  timers.delete(key);
  discards.value = new Set([...discards.peek()].filter((other) => other !== key));
}

function setProblem(key: string, text: string | undefined): void {
  const others = [...discardProblems.peek()].filter(([other]) => other !== key);
  discardProblems.value = new Map(text === undefined ? others : [...others, [key, text]]);
}

/** Whether an operator would see the same message. */
export function isSameMessage(
  one: Pick<DeadLetterDetails, "raw" | "edited">,
  other: Pick<DeadLetterDetails, "raw" | "edited">,
): boolean {
  const bytes = ({ raw, edited }: typeof one) => (edited ?? raw)?.base64;
  return bytes(one) === bytes(other);
}

// The page may come back from the browser's cache much later (HTML §7.4.6.3), when nobody waits for it any more.
window.addEventListener("pagehide", () => {
  for (const key of [...timers.keys()]) {
    clearTimeout(timers.get(key));
    end(key);
  }
});
