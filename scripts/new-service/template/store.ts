import type { ServiceDatabase } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { count, eq, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Task } from "./domain.ts";

const tasks = sqliteTable("tasks", {
  orderId: text("order_id").primaryKey(),
  customerId: text("customer_id").notNull(),
  status: text("status").$type<Task["status"]>().notNull(),
  openedAt: integer("opened_at").notNull(),
  doneAt: integer("done_at"),
});

/** The tasks. `save` is called inside a transaction. */
export class TemplateStore {
  readonly #find;
  readonly #open;
  readonly #save;
  readonly #countByStatus;

  constructor({ orm }: ServiceDatabase) {
    this.#find = orm
      .select()
      .from(tasks)
      .where(eq(tasks.orderId, sql.placeholder("orderId")))
      .prepare();
    this.#open = orm
      .select()
      .from(tasks)
      .where(eq(tasks.status, "open"))
      .orderBy(tasks.openedAt, tasks.orderId)
      .limit(sql.placeholder("limit"))
      .prepare();
    this.#save = orm
      .insert(tasks)
      .values({
        orderId: sql.placeholder("orderId"),
        customerId: sql.placeholder("customerId"),
        status: sql.placeholder("status"),
        openedAt: sql.placeholder("openedAt"),
        doneAt: sql.placeholder("doneAt"),
      })
      .onConflictDoUpdate({ target: tasks.orderId, set: excluded(tasks, "status", "doneAt") })
      .prepare();
    this.#countByStatus = orm
      .select({ count: count() })
      .from(tasks)
      .where(eq(tasks.status, sql.placeholder("status")))
      .prepare();
  }

  find(orderId: string): Task | undefined {
    const row = this.#find.get({ orderId });
    return row === undefined ? undefined : toTask(row);
  }

  /** The open tasks, oldest first. */
  open(limit: number): Task[] {
    return this.#open.all({ limit }).map(toTask);
  }

  save(task: Task): void {
    this.#save.run({ ...task, doneAt: task.status === "done" ? task.doneAt : null });
  }

  countByStatus(status: Task["status"]): number {
    return this.#countByStatus.get({ status })?.count ?? 0;
  }
}

function toTask({ orderId, customerId, status, openedAt, doneAt }: typeof tasks.$inferSelect): Task {
  const details = { orderId, customerId, openedAt };
  switch (status) {
    case "done":
      // A CHECK of the table: it is not null.
      return { status, ...details, doneAt: doneAt ?? 0 };
    case "open":
    case "cancelled":
      return { status, ...details };
    default:
      return status satisfies never;
  }
}
