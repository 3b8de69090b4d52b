import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { useSignal } from "@preact/signals";
import { type DeadLetterSummary, listDeadLetters } from "../../api/admin.ts";
import { messageOf } from "../../api/request.ts";
import { plural, time } from "../../parts/format.ts";
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
  const letters = useSignal<readonly Listed[]>([]);
  const errors = useSignal<readonly string[]>([]);
  const refresh = async () => {
    const services = (figures.peek()?.services ?? []).filter(({ deadLetters }) => deadLetters !== 0);
    const failures: string[] = [];
    const lists = await Promise.all(
      services.map(async ({ name, deadLetters }) => {
        // A service that reports no number is down.
        if (deadLetters === null) return [];
        try {
          return (await listDeadLetters(name, SHOWN)).map((letter) => ({ ...letter, service: name }));
        } catch (error) {
          failures.push(`Those of ${name} cannot be looked at just now. ${messageOf(error)}`);
          return letters.peek().filter(({ service }) => service === name);
        }
      }),
    );
    errors.value = failures;
    letters.value = lists.flat();
  };
  usePoll(refresh, POLL_MS, [figures.value?.services.map(({ deadLetters }) => deadLetters).join()]);
  const total = (figures.value?.services ?? []).reduce((sum, { deadLetters }) => sum + (deadLetters ?? 0), 0);
  return (
    <section class="panel" aria-labelledby="dead-letters-title">
      <h2 id="dead-letters-title">Dead letters</h2>
      <p class="hint">
        What cannot be handled is kept as it came. Messages of the same key wait behind it, all others go on.
      </p>
      {total === 0 && <p class="empty">There are none.</p>}
      {errors.value.map((text) => (
        <p key={text} role="alert">
          {text}
        </p>
      ))}
      <ul class="dead-letters">
        {letters.value.map((letter) => (
          <Row key={`${letter.service}/${letter.id}`} letter={letter} onChange={refresh} />
        ))}
      </ul>
      {total > letters.value.length && letters.value.length > 0 && (
        <p class="hint">{plural(total, "dead letter")} in all; the oldest are shown.</p>
      )}
    </section>
  );
}

function Row({ letter, onChange }: { letter: Listed; onChange: () => Promise<void> }) {
  const open = useSignal(false);
  const { service, id, topic, key, reason, error, parkedAt, replays, edited } = letter;
  return (
    <li data-dead-letter={`${service}/${id}`} data-reason={reason}>
      <details
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
          <span class="dead-letter-error">{escapeInvisible(error)}</span>
        </summary>
        {open.value && <DeadLetter service={service} id={id} onChange={onChange} />}
      </details>
    </li>
  );
}
