import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { listDeadLetters } from "../../api/admin.ts";
import { messageOf } from "../../api/request.ts";
import type { DeadLetterSummary } from "../../api/types.ts";
import { plural, time } from "../../parts/format.ts";
import { announce } from "../../state/announcer.ts";
import { discardProblems, discards, keyOf, undoDiscard } from "../../state/discards.ts";
import { figures } from "../../state/figures.ts";
import { usePoll } from "../../state/poll.ts";
import { DeadLetter } from "./dead-letter.tsx";

const POLL_MS = 2_000;
/** The oldest of each service: they block the later ones of their keys. */
const SHOWN = 20;

interface Listed extends DeadLetterSummary {
  readonly service: string;
}

/** The dead letters of all services: to inspect, edit, replay or discard. */
export function DeadLetters() {
  const letters = useSignal<readonly Listed[] | undefined>(undefined);
  const errors = useSignal<readonly string[]>([]);
  /** @param gone leaves the list although nobody can say what is in it */
  const refresh = async (gone?: string) => {
    if (gone !== undefined) {
      letters.value = letters.peek()?.filter(({ service, id }) => keyOf(service, id) !== gone);
    }
    const services = figures.peek()?.services;
    // What is shown stays while the supervisor does not answer: somebody may be editing it.
    if (services === undefined) return;
    const failures: string[] = [];
    const before = letters.peek() ?? [];
    const lists = await Promise.all(
      services.map(async ({ name, deadLetters }) => {
        if (deadLetters === 0) return [];
        const shown = before.filter(({ service }) => service === name);
        // A service that reports no number is down.
        if (deadLetters === null && shown.length === 0) return [];
        try {
          return (await listDeadLetters(name, SHOWN)).map((letter) => ({ ...letter, service: name }));
        } catch (error) {
          failures.push(`Those of ${name} cannot be looked at just now. ${messageOf(error)}`);
          return shown;
        }
      }),
    );
    errors.value = failures;
    letters.value = lists.flat();
  };
  const counts = (figures.value?.services ?? []).map(({ deadLetters }) => deadLetters);
  usePoll(refresh, POLL_MS, [counts.join(), discards.value]);
  const list = letters.value;
  const total = counts.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  const { region, onFocus } = useFocusAfterRemoval((list ?? []).map(({ service, id }) => keyOf(service, id)));
  return (
    <section class="panel" aria-labelledby="dead-letters-title" ref={region} onFocusCapture={onFocus}>
      <h2 id="dead-letters-title" tabIndex={-1}>
        Dead letters
      </h2>
      <p class="hint">
        What cannot be handled is kept as it came. Messages of the same key wait behind it; all others go on.
      </p>
      {list === undefined && <p class="empty">Asking the services.</p>}
      {list?.length === 0 && errors.value.length === 0 && <p class="empty">There are none.</p>}
      <ul class="dead-letters">
        {(list ?? []).map((letter) => (
          <Row key={keyOf(letter.service, letter.id)} letter={letter} onChange={refresh} />
        ))}
      </ul>
      {errors.value.map((text) => (
        <p key={text} role="alert">
          {text}
        </p>
      ))}
      {list !== undefined && total > list.length && list.length > 0 && (
        <p class="hint">{plural(total, "dead letter")} in all; the oldest are shown.</p>
      )}
    </section>
  );
}

/** When the row with the focus is gone, the row in its place gets the focus, or the heading when there is none. */
function useFocusAfterRemoval(keys: readonly string[]) {
  const region = useRef<HTMLElement>(null);
  const focused = useRef<{ readonly key: string; readonly index: number } | undefined>(undefined);
  const all = keys.join();
  useLayoutEffect(() => {
    const last = focused.current;
    if (last === undefined || keys.includes(last.key) || document.activeElement !== document.body) return;
    focused.current = undefined;
    const summaries = region.current?.querySelectorAll<HTMLElement>("[data-dead-letter] summary");
    const next = summaries?.item(Math.min(last.index, summaries.length - 1));
    (next ?? region.current?.querySelector<HTMLElement>("h2"))?.focus();
  }, [all]);
  const onFocus = ({ target }: FocusEvent) => {
    const row = target instanceof Element ? target.closest<HTMLElement>("[data-dead-letter]") : null;
    const key = row?.dataset.deadLetter;
    focused.current = key === undefined ? undefined : { key, index: keys.indexOf(key) };
  };
  return { region, onFocus };
}

function Row({ letter, onChange }: { letter: Listed; onChange: (gone?: string) => Promise<void> }) {
  const open = useSignal(false);
  const { service, id, topic, key, reason, error, parkedAt, replays, edited } = letter;
  const name = keyOf(service, id);
  const isDiscarded = discards.value.has(name);
  const problem = discardProblems.value.get(name);
  const details = useRef<HTMLDetailsElement>(null);
  const undo = useRef<HTMLButtonElement>(null);
  const before = useRef(isDiscarded);
  // The pressed button is gone: its opposite gets the focus.
  useLayoutEffect(() => {
    if (before.current === isDiscarded) return;
    before.current = isDiscarded;
    if (document.activeElement !== document.body && !details.current?.contains(document.activeElement))
      return;
    if (isDiscarded) undo.current?.focus();
    else details.current?.querySelector("summary")?.focus();
  }, [isDiscarded]);
  return (
    <li data-dead-letter={name} data-reason={reason}>
      <details
        ref={details}
        open={open}
        onToggle={({ currentTarget }) => {
          open.value = currentTarget.open;
        }}
      >
        <summary>
          <strong>{service}</strong>
          <span class={`badge ${reason === "blocked" ? "badge-off" : "badge-bad"}`}>{reason}</span>
          <code>
            {topic} · {escapeInvisible(key ?? "no key")}
          </code>
          <span class="hint">
            {time(Date.parse(parkedAt))}
            {replays > 0 && `, replayed ${plural(replays, "time")}`}
            {edited && ", edited"}
          </span>
          <span class="dead-letter-error">
            {reason === "blocked" ? "It waits behind an earlier message of its key." : escapeInvisible(error)}
          </span>
        </summary>
        {open.value && !isDiscarded && <DeadLetter service={service} id={id} onChange={onChange} />}
      </details>
      {isDiscarded && (
        <div class="undo">
          <p>It is discarded in a moment, unless this page is closed first.</p>
          <button
            type="button"
            class="small"
            ref={undo}
            onClick={() => {
              announce(undoDiscard(service, id) ? "The message is kept." : "The message is being discarded.");
            }}
          >
            Undo
          </button>
          <span class="undo-time" aria-hidden="true" />
        </div>
      )}
      {problem !== undefined && <p role="alert">{problem}</p>}
    </li>
  );
}
