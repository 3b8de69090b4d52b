import { afterEach, expect, test } from "bun:test";
import { DomainError } from "../errors.ts";
import { eventually } from "../testing/eventually.ts";
import { letter, letters, TestService } from "../testing/kit.ts";

let service: TestService;
afterEach(() => service.stop());

const lag = () => service.kit.consumer.lag().get(letters.name);
const partitionOf = (name: string) =>
  service.broker.records(letters.name).find(({ key }) => key === name)?.partition ?? -1;

test("before anything was fetched, it is not known; then a consumer that has read everything is not behind", async () => {
  service = new TestService();
  expect(lag()).toBeUndefined();
  service.kit.start();
  await eventually(() => lag() !== undefined);
  expect(lag()).toEqual({ records: 0, seconds: 0 });
  await service.publish(letter("a", "1"), letter("b", "1"));
  await eventually(() => service.applied().length === 2 && lag()?.records === 0);
  expect(lag()).toEqual({ records: 0, seconds: 0 });
});

test("a new database is catching up until each partition was read to its end; one that has handled something is not", async () => {
  let fails = true;
  service = new TestService(
    () => {
      if (fails) throw new Error("not now");
    },
    { retry: { backoff: { firstMs: 5, mostMs: 5 }, attempts: 1_000_000 } },
  );
  expect(service.kit.isCatchingUp()).toBe(true);
  await service.publish(letter("a", "1"));
  service.kit.start();
  await eventually(() => lag()?.records === 1);
  expect(service.kit.isCatchingUp()).toBe(true);
  fails = false;
  await eventually(() => !service.kit.isCatchingUp());
  expect(service.applied()).toEqual(["a:1"]);
  fails = true;
  await service.publish(letter("a", "2"));
  await eventually(() => lag()?.records === 1);
  expect(service.kit.isCatchingUp()).toBe(false);
  await service.restart();
  expect(service.kit.isCatchingUp()).toBe(false);
});

test("it grows while a handler fails, also over a restart, and is gone once it works", async () => {
  let fails = true;
  service = new TestService(
    () => {
      if (fails) throw new Error("not now");
    },
    { retry: { backoff: { firstMs: 5, mostMs: 5 }, attempts: 1_000_000 } },
  );
  service.kit.start();
  await service.publish(letter("a", "1"), letter("a", "2"));
  await eventually(() => lag()?.records === 2);
  const before = lag()?.seconds ?? 0;
  await service.publish(letter("a", "3"));
  await eventually(() => lag()?.records === 3);
  await eventually(() => (lag()?.seconds ?? 0) > before);
  await service.restart();
  await eventually(() => lag()?.records === 3);
  expect(lag()?.seconds).toBeGreaterThan(before);
  fails = false;
  await eventually(() => service.applied().length === 3 && lag()?.records === 0);
  expect(lag()).toEqual({ records: 0, seconds: 0 });
});

test("after a restart, what had been handled does not count", async () => {
  let fails = false;
  service = new TestService(
    () => {
      if (fails) throw new Error("not now");
    },
    { retry: { backoff: { firstMs: 5, mostMs: 5 }, attempts: 1_000_000 } },
  );
  service.kit.start();
  await service.publish(letter("a", "1"), letter("a", "2"));
  await eventually(() => service.applied().length === 2);
  fails = true;
  await service.kit.stop();
  await service.publish(letter("a", "3"));
  await service.restart();
  await eventually(() => lag() !== undefined);
  // The record that is read again, because the log is identified by it, is none of them.
  await eventually(() => lag()?.records === 1);
  fails = false;
  await eventually(() => lag()?.records === 0);
});

test("a dead letter does not hold it up, a stopped partition does", async () => {
  service = new TestService(({ text }) => {
    if (text === "poison") throw new DomainError("poison");
  });
  service.kit.start();
  await service.publish(letter("a", "poison"));
  await eventually(() => service.kit.deadLetters.count() === 1 && lag()?.records === 0);
  const partition = partitionOf("a");
  service.broker.partition(letters.name, partition).appendUndecodable(Buffer.from([0xff]), 3, "damaged");
  await service.publish(letter("a", "1"));
  await eventually(() => lag()?.records === 4);
  await eventually(() => (lag()?.seconds ?? 0) > 0);
});

test("records that compaction removed do not count before those that are there", async () => {
  let fails = true;
  service = new TestService(
    () => {
      if (fails) throw new Error("not now");
    },
    { retry: { backoff: { firstMs: 5, mostMs: 5 }, attempts: 1_000_000 } },
  );
  for (const text of ["1", "2", "3", "4"]) await service.publish(letter("a", text));
  const log = service.broker.partition(letters.name, partitionOf("a"));
  log.records = log.records.filter(({ offset }) => offset >= 2);
  service.kit.start();
  await eventually(() => lag()?.records === 2);
  fails = false;
  await eventually(() => lag()?.records === 0);
});
