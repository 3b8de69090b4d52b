import { afterEach, expect, test } from "bun:test";
import { ALL_PARTITIONS } from "../inbox/partition-stops.ts";
import { eventually } from "../testing/eventually.ts";
import { Answer, Letter, letters, TestService } from "../testing/kit.ts";
import type { OutgoingRecord, SubscribeOptions } from "../transport/transport.ts";

let service: TestService;
afterEach(() => service.stop());

/** A service whose topic of letters is defined with another number of partitions from the next start on. */
function growing() {
  const state = { count: letters.partitions };
  const transport = {
    partitionsOf: (name: string) => (name === letters.name ? state.count : 1),
    publish: (records: readonly OutgoingRecord[]) => service.broker.publish(records),
    subscribe: (options: SubscribeOptions) => service.broker.subscribe(options),
  };
  service = new TestService(undefined, { transport });
  service.kit.start();
  return state;
}

const place = { topic: letters.name, partition: ALL_PARTITIONS };
const stops = () => service.kit.partitionStops;
const sent = () => service.broker.records(letters.name).length;

test("a topic that is defined with more partitions is not written before an operator accepts it", async () => {
  const state = growing();
  await service.send("a", "1");
  await eventually(() => sent() === 1);
  state.count = 6;
  await service.restart();
  await service.send("a", "2");
  await service.kit.unitOfWork.run((transaction) => {
    transaction.emit(Answer, { name: "a", text: "another topic" });
  });
  await eventually(() => stops().list().length === 1);
  await eventually(
    () => service.broker.records(Answer.topic.name).length === 1,
    "the other topic is written",
  );
  expect(stops().list()).toMatchObject([
    { ...place, reason: "partitions-changed", error: "it was written with 3 partitions and has 6 now" },
  ]);
  expect(sent()).toBe(1);
  await service.restart();
  await stops().decide(place, "accept", "all is read", "olga");
  await eventually(() => sent() === 2);
  await service.restart();
  await service.send("a", "3");
  await eventually(() => sent() === 3);
  expect(stops().list()).toEqual([]);
});

test("with the former number of partitions the topic is written again", async () => {
  const state = growing();
  await service.send("a", "1");
  await eventually(() => sent() === 1);
  state.count = 6;
  await service.restart();
  await service.send("a", "2");
  await eventually(() => stops().list().length === 1);
  state.count = 3;
  await service.restart();
  await eventually(() => sent() === 2);
  expect(stops().list()).toEqual([]);
  expect(stops().decisions(letters.name, ALL_PARTITIONS)).toMatchObject([{ action: "reverted" }]);
});

test("a new topic is written at once", async () => {
  growing();
  await service.kit.unitOfWork.run((transaction) => {
    transaction.emit(Letter, { name: "b", text: "1" });
  });
  await eventually(() => sent() === 1);
  expect(stops().list()).toEqual([]);
});
