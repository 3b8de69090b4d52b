import { useSignal } from "@preact/signals";
import { type DeadLetterSummary, listDeadLetters } from "../../api/dead-letters.ts";
import { wordsFor } from "../../api/request.ts";
import { plural, time } from "../../parts/format.ts";
import { figures } from "../../state/figures.ts";
import { usePoll } from "../../state/poll.ts";
import { Letter } from "./letter.tsx";

const POLL_MS = 2_000;
/** The oldest of each service are shown: those behind them wait for them. */
const SHOWN = 20;

interface Listed extends DeadLetterSummary {
  readonly service: string;
}

/** Messages that a service could not handle, of all services: to look at, mend, replay or throw away. */
export function DeadLetterDesk() {
  const letters = useSignal<readonly Listed[]>([]);
  const silent = useSignal<readonly string[]>([]);
  const refresh = async () => {
    const services = (figures.peek()?.services ?? []).filter(({ deadLetters }) => deadLetters !== 0);
    const failed: string[] = [];
    const lists = await Promise.all(
      services.map(async ({ name, deadLetters }) => {
        // Those that say nothing of their dead letters are down: there is nothing to ask.
        if (deadLetters === null) return [];
        try {
          return (await listDeadLetters(name, SHOWN)).map((letter) => ({ ...letter, service: name }));
        } catch (error) {
          failed.push(`Those of ${name} cannot be looked at just now. ${wordsFor(error)}`);
          return letters.peek().filter(({ service }) => service === name);
        }
      }),
    );
    silent.value = failed;
    letters.value = lists.flat();
  };
  usePoll(refresh, POLL_MS, [figures.value?.services.map(({ deadLetters }) => deadLetters).join()]);
  const total = (figures.value?.services ?? []).reduce((sum, { deadLetters }) => sum + (deadLetters ?? 0), 0);
  return (
    <section class="panel" aria-labelledby="letters-title">
      <h2 id="letters-title">Dead letters</h2>
      <p class="hint">
        What cannot be handled is kept as it came. Messages of the same key wait behind it, all others go on.
      </p>
      {total === 0 && <p class="empty">There are none.</p>}
      {silent.value.map((text) => (
        <p key={text} role="alert">
          {text}
        </p>
      ))}
      <ul class="letters">
        {letters.value.map((letter) => (
          <LetterRow key={`${letter.service}/${letter.id}`} letter={letter} onChange={refresh} />
        ))}
      </ul>
      {total > letters.value.length && letters.value.length > 0 && (
        <p class="hint">{plural(total, "dead letter")} in all; the oldest are shown.</p>
      )}
    </section>
  );
}

function LetterRow({ letter, onChange }: { letter: Listed; onChange: () => Promise<void> }) {
  const open = useSignal(false);
  const { service, id, topic, key, reason, error, parkedAt, replays, edited } = letter;
  return (
    <li data-letter={`${service}/${id}`} data-reason={reason}>
      <details
        onToggle={({ currentTarget }) => {
          open.value = currentTarget.open;
        }}
      >
        <summary>
          <strong>{service}</strong>
          <span class={`badge ${reason === "blocked" ? "badge-off" : "badge-bad"}`}>{reason}</span>
          <code>
            {topic} · {key ?? "no key"}
          </code>
          <span class="hint">
            {time(Date.parse(parkedAt))}
            {replays > 0 && `, replayed ${plural(replays, "time")}`}
            {edited && ", edited"}
          </span>
          <span class="letter-error">{error}</span>
        </summary>
        {open.value && <Letter service={service} id={id} onChange={onChange} />}
      </details>
    </li>
  );
}
