import { afterEach, expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { Letter, TestService } from "../testing/kit.ts";
import type { OutgoingRecord, Publisher } from "../transport/transport.ts";

let service: TestService;
afterEach(() => service.stop());

/** A broker whose answers the test decides. */
class ScriptedPublisher implements Publisher {
  readonly sends: string[][] = [];
  inFlight = 0;
  mostInFlight = 0;
  answer: (texts: string[]) => Promise<void> = async () => {};

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    const texts = records.map((record) => JSON.parse(Buffer.from(record.value ?? "").toString()).data.text);
    this.sends.push(texts);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      await Bun.sleep(1);
      await this.answer(texts);
    } finally {
      this.inFlight -= 1;
    }
  }
}

function serviceWith(publisher: Publisher): TestService {
  const transport = {
    publish: (records: readonly OutgoingRecord[]) => publisher.publish(records),
    subscribe: () => ({ healthy: () => true, stop: async () => {} }),
  };
  return new TestService(undefined, { transport });
}

test("sends in order, one send at a time, and deletes what was acknowledged", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  service.kit.start();
  for (let i = 0; i < 50; i++) {
    await service.send("a", String(i));
    if (i % 7 === 0) await Bun.sleep(1);
  }
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends.flat()).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  expect(publisher.mostInFlight).toBe(1);
});

test("a send that fails is repeated, and nothing overtakes it", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  let failures = 2;
  publisher.answer = async () => {
    if (failures-- > 0) throw new Error("away");
  };
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.sends.length >= 1);
  await service.send("a", "2");
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends[0]).toEqual(["1"]);
  expect(publisher.sends.at(-1)).toEqual(["1", "2"]);
  expect(service.kit.healthy()).toBe(true);
});

test("what an earlier process left in the outbox is sent at the start", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  await service.send("a", "left");
  await service.restart();
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends).toEqual([["left"]]);
});

test("an empty outbox does not reuse sequence numbers: nothing is skipped", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => service.kit.outbox.depth() === 0);
  await service.send("a", "2");
  await eventually(() => publisher.sends.flat().includes("2"));
  await eventually(() => service.kit.outbox.depth() === 0);
});

test("a send is bounded in bytes, but has at least one message", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  const large = "x".repeat(200 * 1024);
  await service.kit.unitOfWork.run((transaction) => {
    for (let i = 0; i < 8; i++) transaction.emit(Letter, { name: "a", text: large });
  });
  expect(service.kit.outbox.after(0, 500, 768 * 1024)).toHaveLength(3);
  expect(service.kit.outbox.after(0, 500, 1)).toHaveLength(1);
});

test("stop waits for the send in flight and keeps the rest", async () => {
  const publisher = new ScriptedPublisher();
  service = serviceWith(publisher);
  const { promise, resolve } = Promise.withResolvers<void>();
  publisher.answer = () => promise;
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.inFlight === 1);
  await service.send("a", "2");
  const stopped = service.kit.stop();
  // What stops before the relay has nothing to do here, and has stopped within this turn of the event loop.
  await Bun.sleep(0);
  resolve();
  await stopped;
  expect(publisher.sends).toEqual([["1"]]);
  const left = service.database.sql
    .query<{ count: number }, []>("SELECT count(*) AS count FROM outbox")
    .get();
  expect(left?.count).toBe(1);
});

test("a stop does not wait for a broker that hangs; the records are sent at the next start", async () => {
  const publisher = new ScriptedPublisher();
  const hang = Promise.withResolvers<void>();
  publisher.answer = () => hang.promise;
  service = serviceWith(publisher);
  service.kit.start();
  await service.send("a", "1");
  await eventually(() => publisher.sends.length === 1);
  await service.kit.stop();
  expect(publisher.inFlight).toBe(1);
  // Too late: the process that sent it has stopped.
  hang.resolve();
  await service.restart();
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(publisher.sends).toEqual([["1"], ["1"]]);
});
