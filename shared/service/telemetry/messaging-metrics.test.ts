import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { letters, TestService } from "../../messaging/testing/kit.ts";
import { addMessagingMetrics } from "./messaging-metrics.ts";
import { createMetrics } from "./metrics.ts";

test("what became of messages, deadlines and dead letters can be read as Prometheus means it", async () => {
  const service = new TestService();
  try {
    const metrics = createMetrics("reader");
    addMessagingMetrics(metrics, service.kit);
    service.kit.start();
    await service.send("a", "1");
    await service.broker.publish([{ topic: letters.name, key: "g", value: "rubbish", headers: {} }]);
    const inAnHour = Date.now() + 3_600_000;
    await service.kit.unitOfWork.run((transaction) =>
      transaction.setTimer({ name: "remind", key: "a", dueAt: inAnHour }),
    );
    await eventually(() => service.applied().length === 1 && service.kit.deadLetters.count() === 1);
    const text = await metrics.registry.metrics();
    for (const line of [
      "# TYPE messages_handled_total counter",
      'messages_handled_total{app="reader"} 1',
      "# TYPE messages_parked_total counter",
      'messages_parked_total{app="reader"} 1',
      'dead_letters{app="reader"} 1',
      'dead_letters_by_reason{reason="undecodable",app="reader"} 1',
      'dead_letters_by_reason{reason="blocked",app="reader"} 0',
      'timers_pending{app="reader"} 1',
      'timers_failed{app="reader"} 0',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  } finally {
    await service.stop();
  }
});
