import {
  changesTopic,
  closed,
  deadLetterTopic,
  define,
  encode,
  type Handler,
  type MessageDefinition,
  type Migration,
  message,
  type OutgoingRecord,
  on,
  ownerTopic,
  type ServiceDatabase,
  type TimerHandler,
  type Topic,
} from "@distributed-messaging/messaging";
import { type Static, Type } from "@sinclair/typebox";

/** A small service with something of everything that a database keeps: the replicated one of the simulation. */
export const SERVICE = "ledger";
/** Virtual time starts at 2026-01-01T00:00:00Z in every run. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

const topic = (name: string): Topic => ({ name, key: "account", partitions: 2, config: {} });

export const topics = {
  payments: topic("payments"),
  balances: topic("balances"),
  changes: changesTopic(SERVICE),
  deadLetters: deadLetterTopic(SERVICE),
};

const data = Type.Object({ account: Type.String(), payment: Type.String(), amount: Type.Integer() }, closed);

const Payment = define({
  type: "payment.v1",
  kind: "command",
  source: "payer",
  topic: topics.payments,
  key: "account",
  data,
});
export type PaymentData = Static<typeof data>;

export const owners = ownerTopic(SERVICE);

/** The record of a payment. @param atMs virtual time */
export function payment(index: number, sent: PaymentData, atMs: number): OutgoingRecord {
  const id = `00000000-0000-7000-8000-${String(index).padStart(12, "0")}`;
  const time = new Date(EPOCH_MS + atMs).toISOString();
  return encode(
    Payment,
    message(Payment, sent, { id, source: "payer", time, correlationid: id, causationid: id }),
  );
}

export const Balance = define({
  type: "balance.v1",
  kind: "event",
  source: SERVICE,
  topic: topics.balances,
  key: "account",
  data,
});
export const definitions: readonly MessageDefinition[] = [Payment, Balance];

export const migrations: readonly Migration[] = [
  {
    name: "ledger",
    sql: `
      CREATE TABLE accounts (account TEXT PRIMARY KEY, total INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE payments (id INTEGER PRIMARY KEY AUTOINCREMENT, payment TEXT NOT NULL UNIQUE, account TEXT NOT NULL) STRICT;
      CREATE TABLE reminders (payment TEXT NOT NULL PRIMARY KEY, fired INTEGER NOT NULL) STRICT;
      CREATE TABLE requests (request TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    `,
  },
];

/** A step that versions without it can work with. */
const notes: Migration = {
  name: "notes",
  additive: true,
  sql: `
    CREATE TABLE notes (payment TEXT NOT NULL PRIMARY KEY, note TEXT NOT NULL) STRICT;
    ALTER TABLE accounts ADD COLUMN last TEXT;
  `,
};

/** One that they cannot: from then on every payment has a note. */
const everyNote: Migration = {
  name: "every payment has a note",
  sql: "INSERT OR IGNORE INTO notes SELECT payment, 'before' FROM payments;",
};

/** The versions of the service, by their schemas: each goes on with that of the one before. */
export const versions: readonly [Version, Version, Version] = [
  migrations,
  [...migrations, notes],
  [...migrations, notes, everyNote],
];
export type Version = readonly Migration[];

/** Adds up what was paid to an account, and tells the new balance. A version that knows notes makes one. */
export function handlersOf({ sql }: ServiceDatabase, version: Version): readonly Handler[] {
  const pay = sql.prepare("INSERT INTO payments (payment, account) VALUES (?, ?)");
  const add = sql.prepare<{ total: number }, [string, number]>(
    "INSERT INTO accounts (account, total) VALUES (?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total RETURNING total",
  );
  const note = version.includes(notes)
    ? [
        sql.prepare("INSERT INTO notes VALUES (?1, 'paid to ' || ?2)"),
        sql.prepare("UPDATE accounts SET last = ?1 WHERE account = ?2"),
      ]
    : [];
  return [
    on(Payment, ({ data: { account, payment, amount } }, transaction) => {
      pay.run(payment, account);
      const total = add.get(account, amount)?.total ?? 0;
      for (const statement of note) statement.run(payment, account);
      transaction.emit(Balance, { account, payment, amount: total });
      if (amount % 3 === 0) {
        transaction.setTimer({ name: "reminder", key: payment, dueAt: transaction.now + 200, data: {} });
      }
    }),
  ];
}

export function timersOf({ sql }: ServiceDatabase): readonly TimerHandler[] {
  const fire = sql.prepare("INSERT INTO reminders VALUES (?, 1) ON CONFLICT DO UPDATE SET fired = fired + 1");
  return [{ name: "reminder", fire: ({ key }) => void fire.run(key) }];
}
