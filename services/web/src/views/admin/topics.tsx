import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import type { RecordReport, TopicReport } from "@distributed-messaging/supervisor/reports";
import { useSignal } from "@preact/signals";
import { messageOf } from "../../api/request.ts";
import { fetchLatest, fetchTopics } from "../../api/supervisor.ts";
import { isRecord, parseJson } from "../../json.ts";
import { count, exactTime, plural } from "../../parts/format.ts";
import { describeMessage } from "../../parts/message-descriptions.ts";
import { usePoll } from "../../state/poll.ts";

const POLL_MS = 2_000;

/** Every topic with its offsets, the lag of its consumer groups, and its latest records. */
export function Topics() {
  const topics = useSignal<readonly TopicReport[] | undefined>(undefined);
  const error = useSignal<string | undefined>(undefined);
  usePoll(async () => {
    try {
      topics.value = await fetchTopics();
      error.value = undefined;
    } catch (reason) {
      error.value = messageOf(reason);
    }
  }, POLL_MS);
  return (
    <section class="panel" aria-labelledby="topics-title">
      <h2 id="topics-title">Topics</h2>
      {error.value !== undefined && (
        <p class="hint">
          {error} {topics.value !== undefined && "The last answer is shown."}
        </p>
      )}
      {topics.value === undefined && error.value === undefined && <p class="empty">Asking the broker.</p>}
      <ul class="topics">
        {(topics.value ?? []).map((topic) => (
          <TopicRow key={topic.name} topic={topic} />
        ))}
      </ul>
    </section>
  );
}

function TopicRow({ topic: { name, partitions, groups } }: { topic: TopicReport }) {
  const open = useSignal(false);
  const records = partitions.reduce((sum, { earliest, latest }) => sum + latest - earliest, 0);
  return (
    <li data-topic={name}>
      <details
        onToggle={({ currentTarget }) => {
          open.value = currentTarget.open;
        }}
      >
        <summary>
          <code>{name}</code>
          <span>{plural(records, "record")}</span>
          <span class="lags">
            {groups.map(({ group, lag }) => (
              <span key={group} class={lag > 0 ? "alarming" : ""}>
                {group} {lag === 0 ? "has read everything" : `is ${count(lag)} behind`}
              </span>
            ))}
          </span>
        </summary>
        <p class="offsets">
          {partitions
            .map(
              ({ partition, earliest, latest }) =>
                `partition ${partition}: ${latest > earliest ? `offsets ${earliest}–${latest - 1}` : "empty"}`,
            )
            .join("   ")}
        </p>
        {open.value && <Latest topic={name} />}
      </details>
    </li>
  );
}

function Latest({ topic }: { topic: string }) {
  const records = useSignal<readonly RecordReport[] | undefined>(undefined);
  const error = useSignal<string | undefined>(undefined);
  usePoll(
    async () => {
      try {
        records.value = await fetchLatest(topic);
        error.value = undefined;
      } catch (reason) {
        error.value = messageOf(reason);
      }
    },
    POLL_MS,
    [topic],
  );
  if (records.value === undefined)
    return <p class="empty">{error.value ?? "Reading the latest messages."}</p>;
  if (records.value.length === 0) return <p class="empty">Nothing in it.</p>;
  return (
    <ol class="records" aria-label={`Latest messages of ${topic}`}>
      {records.value.map((record) => (
        <li key={`${record.partition}/${record.offset}`}>
          <details>
            <summary>
              <time>{exactTime(record.at)}</time>
              <strong>{nameIn(record)}</strong>
              <code>{escapeInvisible(record.key ?? "no key")}</code>
              <span class="hint">
                {record.partition}/{record.offset}
              </span>
            </summary>
            <pre>{escapeInvisible(pretty(record.value))}</pre>
          </details>
        </li>
      ))}
    </ol>
  );
}

function nameIn({ value }: RecordReport): string {
  const message = parseJson(value ?? "");
  if (!isRecord(message) || typeof message.type !== "string") return "unreadable";
  return describeMessage(message.type, "").name;
}

function pretty(value: string | null): string {
  const message = parseJson(value ?? "");
  return message === undefined ? (value ?? "no value") : JSON.stringify(message, null, 2);
}
