import type { FiguresReport } from "@distributed-messaging/supervisor/reports";
import { count, duration } from "../../parts/format.ts";
import { Scroll } from "../../parts/scroll.tsx";
import { figures } from "../../state/figures.ts";

/** The unsent and unread messages of each service. */
export function Outboxes() {
  const report = figures.value;
  return (
    <section class="panel" aria-labelledby="outboxes-title">
      <h2 id="outboxes-title">Outboxes and inboxes</h2>
      <Scroll label="Outboxes and inboxes, by service">
        <table class="outboxes">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <Heading title="In the outbox" />
              <Heading title="Oldest waiting" />
              <Heading title="Unread" />
              <Heading title="Handled" />
              <Heading title="Duplicates dropped" />
              <Heading title="Dead letters" />
              <Heading title="Parked" />
              <Heading title="Stopped partitions" />
            </tr>
          </thead>
          <tbody>
            {(report?.services ?? []).map((service) => (
              <Row key={service.name} service={service} lag={report?.lag?.[service.name]} />
            ))}
          </tbody>
        </table>
      </Scroll>
      {report === undefined && <p class="empty">The figures are on their way.</p>}
    </section>
  );
}

function Heading({ title }: { title: string }) {
  return (
    <th scope="col" class="number">
      {title}
    </th>
  );
}

interface RowProps {
  readonly service: FiguresReport["services"][number];
  /** Undefined while the broker does not answer, or for a group without an offset. */
  readonly lag: number | undefined;
}

function Row({ service, lag }: RowProps) {
  const { name, outboxDepth, outboxOldestAgeS, handled, duplicates, deadLetters } = service;
  const { outboxParked, partitionsStopped } = service;
  const age = outboxOldestAgeS === null ? null : outboxOldestAgeS * 1000;
  return (
    <tr data-outbox={name}>
      <th scope="row">{name}</th>
      <Cell value={outboxDepth} alarming={outboxDepth !== 0} />
      <td class="number">{age === null ? "no answer" : age === 0 ? "–" : duration(age)}</td>
      <Cell value={lag ?? null} alarming={lag !== 0} />
      <Cell value={handled} />
      <Cell value={duplicates} />
      <Cell value={deadLetters} alarming={deadLetters !== 0} />
      <Cell value={outboxParked} alarming={outboxParked !== 0} />
      <Cell value={partitionsStopped} alarming={partitionsStopped !== 0} />
    </tr>
  );
}

function Cell({ value, alarming = false }: { value: number | null; alarming?: boolean }) {
  return (
    <td class={`number ${alarming && value !== null ? "alarming" : ""}`}>
      {value === null ? "no answer" : count(value)}
    </td>
  );
}
