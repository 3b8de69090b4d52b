import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openDatabase, type ServiceDatabase } from "./database.ts";
import { StorageError, UsageError } from "./errors.ts";
import { type Runtime, silentLogger, systemRuntime } from "./runtime.ts";
import { eventually, failureOf } from "./testing/eventually.ts";
import { groupLog } from "./testing/group-log.ts";
import { Answer, TestService } from "./testing/kit.ts";
import type { Transaction } from "./unit-of-work.ts";

let service: TestService;
let sql: ServiceDatabase["sql"];

beforeEach(() => start());
afterEach(() => service.stop());

function start(runtime: Partial<Runtime> = {}): void {
  service = new TestService(undefined, { runtime: { ...systemRuntime, ...runtime } });
  sql = service.database.sql;
  sql.run("CREATE TABLE notes (text TEXT UNIQUE)");
}

/** On a busy machine, a group might end before the last work that is queued for it. */
const noTimePasses = { monotonic: () => 0 };

const add = (text: string) => () => {
  sql.run("INSERT INTO notes VALUES (?)", [text]);
  return text;
};
const notes = () =>
  sql
    .query<{ text: string }, []>("SELECT text FROM notes ORDER BY rowid")
    .all()
    .map((row) => row.text);

/** Counts the transactions that begin. */
function countBegins(): () => number {
  let begins = 0;
  const run = sql.run.bind(sql);
  sql.run = (statement: string, ...rest: never[]) => {
    if (statement.startsWith("BEGIN")) begins += 1;
    return run(statement, ...rest);
  };
  return () => begins;
}

test("the text of a raw record is sent as UTF-8", async () => {
  const texts = ["", "a\0b", "é€😀", "half of a pair: \ud83d"];
  await service.kit.unitOfWork.run((transaction) => {
    for (const value of [...texts, new Uint8Array([1, 255]), null])
      transaction.emitRaw({ topic: Answer.topic.name, key: "a", value, headers: {} });
  });
  const sent = sql.query<{ value: Uint8Array | null }, []>("SELECT value FROM outbox ORDER BY seq").all();
  expect(sent.map(({ value }) => value && Buffer.from(value).toString("hex"))).toEqual([
    ...texts.map((text) => Buffer.from(text).toString("hex")),
    "01ff",
    null,
  ]);
});

test("of a replicated service, a read that fails at a commit fails its group, and the next one is stored", async () => {
  const { outbox, unitOfWork } = service.kit;
  Object.assign(service.database, { replication: groupLog((callback) => callback()) });
  const last = outbox.last.bind(outbox);
  outbox.last = () => {
    outbox.last = last;
    throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR" });
  };
  expect(await failureOf(unitOfWork.run(add("lost")))).toBe("StorageError: disk I/O error");
  await unitOfWork.run(add("stored"));
  expect(notes()).toEqual(["stored"]);
});

test("what is queued at once is one transaction, and each caller gets the result of its own work", async () => {
  await service.stop();
  start(noTimePasses);
  const begins = countBegins();
  const results = await Promise.all(["a", "b", "c"].map((text) => service.kit.unitOfWork.run(add(text))));
  expect(results).toEqual(["a", "b", "c"]);
  expect(notes()).toEqual(["a", "b", "c"]);
  expect(begins()).toBe(1);
});

describe("deferred work", () => {
  /** A service whose timers never fire: only another group, or the end, runs it. */
  async function withoutTimers() {
    await service.stop();
    start({ ...noTimePasses, after: () => () => {} });
    return service.kit.unitOfWork;
  }

  test("commits with the next group, and costs no commit of its own", async () => {
    const unitOfWork = await withoutTimers();
    const begins = countBegins();
    const deferred = ["a", "b"].map((text) => unitOfWork.defer(add(text)));
    expect(await unitOfWork.run(add("c"))).toBe("c");
    expect(await Promise.all(deferred)).toEqual(["a", "b"]);
    expect([notes(), begins()]).toEqual([["a", "b", "c"], 1]);
  });

  test("commits by itself when there is no other", async () => {
    expect(await service.kit.unitOfWork.defer(add("a"))).toBe("a");
    expect(await service.kit.unitOfWork.defer(add("b"))).toBe("b");
    expect(notes()).toEqual(["a", "b"]);
  });

  test("that throws takes nothing else with it", async () => {
    const fails = service.kit.unitOfWork.defer(() => {
      throw new Error("no");
    });
    const [first, second] = await Promise.allSettled([fails, service.kit.unitOfWork.run(add("a"))]);
    expect([first.status, second.status]).toEqual(["rejected", "fulfilled"]);
    expect(notes()).toEqual(["a"]);
  });

  test("commits when the database is about to be closed, and is refused after that", async () => {
    const unitOfWork = await withoutTimers();
    const deferred = unitOfWork.defer(add("a"));
    unitOfWork.close();
    expect(await deferred).toBe("a");
    expect(await failureOf(unitOfWork.defer(add("b")))).toStartWith("StorageError: ");
    expect(notes()).toEqual(["a"]);
  });
});

test("work that throws is rolled back alone; the others of its group take effect once", async () => {
  const { unitOfWork } = service.kit;
  const half = () => {
    sql.run("INSERT INTO notes VALUES ('half')");
    throw new RangeError("half way");
  };
  const [first, second, third] = await Promise.allSettled([
    unitOfWork.run(add("first")),
    unitOfWork.run(half),
    unitOfWork.run(add("third")),
  ]);
  expect(first).toEqual({ status: "fulfilled", value: "first" });
  expect(second).toMatchObject({ status: "rejected", reason: new RangeError("half way") });
  expect(third).toEqual({ status: "fulfilled", value: "third" });
  expect(notes()).toEqual(["first", "third"]);
});

test("a message that no reader would accept fails its work, so that no caller takes it for emitted", async () => {
  const { unitOfWork, outbox } = service.kit;
  for (const name of ["", "k".repeat(257)]) {
    const emitted = unitOfWork.run((transaction) => transaction.emit(Answer, { name, text: "t" }));
    expect(await failureOf(emitted)).toStartWith("ContractViolation: test.answer.v1: /subject: ");
  }
  expect(outbox.depth()).toBe(0);
});

test("a message is in the outbox if, and only if, its work took effect", async () => {
  const { unitOfWork, outbox } = service.kit;
  const fails = unitOfWork.run((transaction) => {
    transaction.emit(Answer, { name: "a", text: "never" });
    throw new Error("no");
  });
  const succeeds = unitOfWork.run((transaction) => transaction.emit(Answer, { name: "a", text: "yes" }));
  await Promise.allSettled([fails, succeeds]);
  expect(
    outbox.after(0, 10, 1e6).map((row) => JSON.parse(Buffer.from(row.value ?? "").toString()).data.text),
  ).toEqual(["yes"]);
});

describe("the latest state of a key", () => {
  const latest = (name: string, text: string) => (transaction: Transaction) => {
    transaction.emitLatest(Answer, { name, text });
  };
  const fail = () => {
    throw new Error("no");
  };
  const texts = () =>
    service.kit.outbox
      .after(0, 10, 1e6)
      .map((row) => JSON.parse(Buffer.from(row.value ?? "").toString()).data.text);

  test("is all that is sent of one commit", async () => {
    const { unitOfWork } = service.kit;
    const works = [latest("a", "a1"), latest("b", "b1"), latest("a", "a2"), latest("a", "a3")];
    await Promise.all(works.map((work) => unitOfWork.run(work)));
    expect(texts()).toEqual(["b1", "a3"]);
    await unitOfWork.run(latest("a", "a4"));
    expect(texts()).toEqual(["b1", "a3", "a4"]);
  });

  test("has the id that its emission returned, derived from its own cause", async () => {
    const { unitOfWork } = service.kit;
    const cause = (idSeed: string) => ({ correlationId: "c", causationId: "c", idSeed });
    const emit = (transaction: Transaction) => transaction.emitLatest(Answer, { name: "a", text: "t" });
    // On a busy machine two units of work may be two commits.
    await eventually(async () => {
      const before = service.kit.outbox.last();
      const [, second] = await Promise.all([
        unitOfWork.run(emit, cause(crypto.randomUUID())),
        unitOfWork.run(emit, cause(crypto.randomUUID())),
      ]);
      const rows = service.kit.outbox.after(before, 10, 1e6);
      expect(rows.map(({ value }) => JSON.parse(Buffer.from(value ?? "").toString()).id)).toEqual([second]);
      return true;
    });
  });

  test("neither overtakes another message of its key nor is overtaken by one", async () => {
    const { unitOfWork } = service.kit;
    await unitOfWork.run((transaction) => {
      latest("a", "a1")(transaction);
      transaction.emit(Answer, { name: "b", text: "b1" });
      latest("a", "a2")(transaction);
      transaction.emit(Answer, { name: "a", text: "a3" });
      latest("a", "a4")(transaction);
      const value = JSON.stringify({ data: { text: "a5" } });
      transaction.emitRaw({ topic: Answer.topic.name, key: "a", value, headers: {} });
      latest("a", "a6")(transaction);
    });
    expect(texts()).toEqual(["b1", "a2", "a3", "a4", "a5", "a6"]);
  });

  test("that was rolled back is not sent, and does not take the place of an earlier one", async () => {
    const { unitOfWork } = service.kit;
    const fails = unitOfWork.run((transaction) => {
      latest("a", "never")(transaction);
      fail();
    });
    await Promise.allSettled([unitOfWork.run(latest("a", "a1")), fails, unitOfWork.run(latest("b", "b1"))]);
    expect(texts()).toEqual(["a1", "b1"]);
  });

  test("is not sent when the disk fails, also not with the next commit", async () => {
    const { unitOfWork } = service.kit;
    const full = unitOfWork.run((transaction) => {
      latest("a", "never")(transaction);
      throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
    });
    await Promise.allSettled([full]);
    await unitOfWork.run(latest("b", "b1"));
    expect(texts()).toEqual(["b1"]);
  });

  test("fails the work that emitted it when no reader would accept it, though another follows", async () => {
    const { unitOfWork } = service.kit;
    const wrong = unitOfWork.run((transaction) => transaction.emitLatest(Answer, { name: "", text: "t" }));
    await Promise.allSettled([wrong, unitOfWork.run(latest("a", "a1"))]);
    expect(await failureOf(wrong)).toStartWith("ContractViolation: test.answer.v1: /subject: ");
    expect(texts()).toEqual(["a1"]);
  });

  test("waits behind an earlier message of its key that is parked", async () => {
    const { unitOfWork, outbox, parked } = service.kit;
    await unitOfWork.run(latest("a", "a1"));
    await unitOfWork.run((transaction) => {
      latest("a", "a2")(transaction);
      for (const row of outbox.after(0, 10, 1e6)) outbox.park(row, "too large", transaction.now);
      latest("a", "a3")(transaction);
    });
    expect([texts(), parked.count()]).toEqual([[], 2]);
  });
});

test("a message that another service is the source of is not emitted", async () => {
  const { unitOfWork, outbox } = service.kit;
  const Foreign = { ...Answer, source: "writer" };
  const work = unitOfWork.run((transaction) => transaction.emit(Foreign, { name: "a", text: "forged" }));
  expect(await failureOf(work)).toBe("ContractViolation: test.answer.v1: writer may send it, reader may not");
  expect(outbox.after(0, 10, 1e6)).toEqual([]);
});

test("callbacks of work that was rolled back are not called, those of the others once", async () => {
  const calls: string[] = [];
  const work = (name: string, fails: boolean) =>
    service.kit.unitOfWork.run((transaction) => {
      transaction.afterCommit(() => calls.push(name));
      if (fails) throw new Error(name);
    });
  await Promise.allSettled([work("a", false), work("b", true), work("c", false)]);
  expect(calls).toEqual(["a", "c"]);
});

test("a caller is answered after the commit: a second connection sees the effect", async () => {
  const path = `${process.env.TMPDIR ?? "/tmp"}/uow-${crypto.randomUUID()}.sqlite`;
  const database = openDatabase(path);
  try {
    database.sql.run("CREATE TABLE notes (text TEXT)");
    const other = new Database(path, { readonly: true });
    const onFile = new TestService(undefined, { database });
    await onFile.kit.unitOfWork.run(() => {
      database.sql.run("INSERT INTO notes VALUES ('seen')");
    });
    expect(other.query("SELECT text FROM notes").get()).toEqual({ text: "seen" });
    other.close();
    await onFile.stop();
  } finally {
    database.close();
    for (const file of [path, `${path}-wal`, `${path}-shm`, path.replace(/sqlite$/, "lock")]) {
      await Bun.file(file)
        .delete()
        .catch(() => {});
    }
  }
});

test("work that returns a promise is refused and rolled back", async () => {
  const work = async () => {
    sql.run("INSERT INTO notes VALUES ('async')");
  };
  // @ts-expect-error the type refuses it, too
  expect(await failureOf(service.kit.unitOfWork.run(work))).toMatch("UsageError: work in a transaction must");
  await service.kit.unitOfWork.run(() => {});
  expect(notes()).toEqual([]);
});

test.each([
  ["a trigger rolls it back", "INSERT INTO forbidden VALUES (1)", "SQLiteError: forbidden"],
  ["its work rolls it back", "ROLLBACK", "UsageError: work in a transaction must not end the transaction"],
])("when %s, the transaction is lost for that work only", async (_what, statement, error) => {
  sql.run("CREATE TABLE forbidden (n INTEGER)");
  sql.run("CREATE TRIGGER forbid BEFORE INSERT ON forbidden BEGIN SELECT raise(ROLLBACK, 'forbidden'); END");
  const { unitOfWork } = service.kit;
  let calls = 0;
  const ends = () => {
    sql.run("INSERT INTO notes VALUES ('half')");
    sql.run(statement);
  };
  const results = await Promise.allSettled([
    unitOfWork.run((transaction) => {
      transaction.afterCommit(() => {
        calls += 1;
      });
      return add("first")();
    }),
    unitOfWork.run(ends),
    unitOfWork.run(add("third")),
  ]);
  expect(
    results.map((result) => (result.status === "fulfilled" ? result.value : String(result.reason))),
  ).toEqual(["first", error, "third"]);
  expect(notes()).toEqual(["first", "third"]);
  expect(calls).toBe(1);
});

test("work that commits by itself fails, and what comes after it is written", async () => {
  const { unitOfWork } = service.kit;
  const commits = unitOfWork.run(() => sql.run("COMMIT"));
  const next = unitOfWork.run(add("next"));
  expect(await failureOf(commits)).toBe("UsageError: work in a transaction must not end the transaction");
  expect(await next).toBe("next");
});

test("a transaction cannot be used after its work has ended", async () => {
  const { unitOfWork, outbox } = service.kit;
  let kept: Transaction | undefined;
  await unitOfWork.run((transaction) => {
    kept = transaction.causedBy({ correlationId: "c", causationId: "c" });
  });
  const uses: ((transaction: Transaction) => void)[] = [
    (transaction) => transaction.emit(Answer, { name: "a", text: "late" }),
    (transaction) => transaction.emitLatest(Answer, { name: "a", text: "late" }),
    (transaction) => transaction.emitRaw({ topic: "answers", key: "a", value: "late", headers: {} }),
    (transaction) => transaction.setTimer({ name: "t", key: "k", dueAt: 0 }),
    (transaction) => transaction.cancelTimer("t", "k"),
    (transaction) => transaction.afterCommit(() => {}),
  ];
  for (const use of uses) {
    // Within another transaction, too.
    await unitOfWork.run(() => expect(() => use(kept as Transaction)).toThrow(UsageError));
    expect(() => use(kept as Transaction)).toThrow(UsageError);
  }
  expect(outbox.depth()).toBe(0);
});

test("a callback that fails after the commit is logged; it neither escapes nor drops the callbacks of others", async () => {
  const errors: unknown[] = [];
  const calls: string[] = [];
  await service.stop();
  const log = { ...silentLogger, error: ({ err }: { err?: unknown }) => errors.push(err) };
  service = new TestService(undefined, { log });
  const { unitOfWork, outbox } = service.kit;
  service.kit.start();
  const work = (name: string) =>
    unitOfWork.run((transaction) => {
      transaction.emit(Answer, { name, text: "sent" });
      transaction.afterCommit(() => calls.push(name));
      transaction.afterCommit(() => {
        throw new Error(`callback of ${name}`);
      });
      transaction.afterCommit(async () => {
        throw new Error(`asynchronous callback of ${name}`);
      });
    });
  await Promise.all([work("a"), work("b")]);
  // The relay is woken after the callbacks.
  await eventually(() => outbox.depth() === 0);
  expect(calls).toEqual(["a", "b"]);
  expect(errors.map(String).sort()).toEqual([
    "Error: asynchronous callback of a",
    "Error: asynchronous callback of b",
    "Error: callback of a",
    "Error: callback of b",
  ]);
});

test("when the disk fails, every caller gets an error, nothing took effect, and the next group works", async () => {
  await service.stop();
  start(noTimePasses);
  const { unitOfWork } = service.kit;
  const full = () => {
    sql.run("INSERT INTO notes VALUES ('x')");
    throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
  };
  const results = await Promise.allSettled([
    unitOfWork.run(add("a")),
    unitOfWork.run(full),
    unitOfWork.run(add("b")),
  ]);
  for (const result of results) {
    expect(result.status === "rejected" && result.reason).toBeInstanceOf(StorageError);
  }
  expect(notes()).toEqual([]);
  await unitOfWork.run(add("later"));
  expect(notes()).toEqual(["later"]);
});

test("when the database was closed too early, every caller gets an error, and the kit stops all the same", async () => {
  service.kit.start();
  await service.kit.unitOfWork.run(add("before"));
  service.database.close();
  const results = await Promise.allSettled(["a", "b"].map((text) => service.kit.unitOfWork.run(add(text))));
  expect(
    results.map((result) => result.status === "rejected" && result.reason instanceof StorageError),
  ).toEqual([true, true]);
  await service.kit.stop();
});

test("a group that takes too long is cut: the rest runs in the next one, in order", async () => {
  const { unitOfWork } = service.kit;
  const slow = (text: string) => () => {
    Bun.sleepSync(25);
    return add(text)();
  };
  expect(
    await Promise.all([unitOfWork.run(slow("1")), unitOfWork.run(slow("2")), unitOfWork.run(add("3"))]),
  ).toEqual(["1", "2", "3"]);
  expect(notes()).toEqual(["1", "2", "3"]);
});

test("what a group leaves comes before what is queued meanwhile", async () => {
  const { unitOfWork } = service.kit;
  const later: Promise<string>[] = [];
  const slow = () => {
    later.push(unitOfWork.run(add("queued meanwhile")));
    Bun.sleepSync(25);
    return add("slow")();
  };
  await Promise.all([unitOfWork.run(slow), unitOfWork.run(add("left"))]);
  await Promise.all(later);
  expect(notes()).toEqual(["slow", "left", "queued meanwhile"]);
});

test("close writes what is queued and refuses what comes after", async () => {
  const { unitOfWork } = service.kit;
  const queued = unitOfWork.run(add("queued"));
  unitOfWork.close();
  expect(await queued).toBe("queued");
  expect(await failureOf(unitOfWork.run(add("late")))).toMatch("StorageError");
  expect(notes()).toEqual(["queued"]);
});
