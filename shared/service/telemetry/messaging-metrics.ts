import { deadLetterReasons, type Messaging } from "@distributed-messaging/messaging";
import type { Metrics } from "./metrics.ts";

/** The figures of a service's messages. */
export function addMessagingMetrics(metrics: Metrics, messaging: Messaging): void {
  const { outbox, deadLetters, timers, consumer } = messaging;
  const { counts } = consumer;
  metrics.gauge("outbox_depth", "Messages that wait to be sent", () => outbox.depth());
  metrics.gauge("outbox_oldest_age_seconds", "Age of the oldest message that waits to be sent", () => {
    const oldestAt = outbox.oldestAt();
    return oldestAt === undefined ? 0 : Math.max(0, Date.now() - oldestAt) / 1000;
  });
  metrics.gauge("dead_letters", "Messages that could not be handled", () => deadLetters.count());
  metrics.gauges("dead_letters_by_reason", "Messages that could not be handled, by why", "reason", () => {
    const byReason = deadLetters.countByReason();
    return new Map(deadLetterReasons.map((reason) => [reason, byReason.get(reason) ?? 0]));
  });
  metrics.gauge("timers_pending", "Deadlines that are still to come", () => timers.counts().pending);
  metrics.gauge(
    "timers_failed",
    "Deadlines that failed too often and are left alone",
    () => timers.counts().failed,
  );
  metrics.total("messages_handled_total", "Messages carried out", () => counts.handled);
  metrics.total("messages_duplicate_total", "Messages that had been handled before", () => counts.duplicate);
  metrics.total("messages_skipped_total", "Messages of no interest here", () => counts.skipped);
  metrics.total("messages_parked_total", "Messages kept as dead letters", () => counts.parked);
  metrics.total("messages_retried_total", "Failed attempts that were tried again", () => counts.retried);
}
