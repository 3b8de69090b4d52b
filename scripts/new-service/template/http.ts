import { CustomerId, OrderId } from "@distributed-messaging/contracts";
import type { UnitOfWork } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { causeOf, documented } from "@distributed-messaging/service/http";
import { authenticate, requireAdmin, type TokenVerifier } from "@distributed-messaging/service/identity";
import type { ServiceApp } from "@distributed-messaging/service/run";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Task } from "./domain.ts";
import { carryOut } from "./handlers.ts";
import type { TemplateStore } from "./store.ts";

/** Tasks in one answer. */
const PAGE = 100;

const TASKS = { name: "tasks", description: "What is to be done for orders" };

const TaskAnswer = Type.Object({
  orderId: OrderId,
  customerId: CustomerId,
  status: Type.Union([Type.Literal("open"), Type.Literal("done"), Type.Literal("cancelled")]),
  openedAt: Type.String({ format: "date-time" }),
  doneAt: Type.Optional(Type.String({ format: "date-time" })),
});

/** The HTTP interface. */
export type App = ServiceApp<ReturnType<typeof templateRoutes>>;

/** For admins: which tasks are open, and that one of them is done. */
export function templateRoutes(store: TemplateStore, unitOfWork: UnitOfWork, verifier: TokenVerifier) {
  return new Elysia({ prefix: "/tasks" })
    .derive(async ({ request }) => requireAdmin(await authenticate(request, verifier)))
    .get("", () => store.open(PAGE).map(shown), {
      detail: documented("The open tasks, oldest first (admin)", {
        tag: TASKS,
        answers: { 200: Type.Array(TaskAnswer) },
        access: "admin",
      }),
    })
    .post(
      "/:orderId/complete",
      async ({ params: { orderId }, request }) => {
        const task = await unitOfWork.run(
          (transaction) => carryOut({ kind: "work-done", orderId }, store, transaction),
          causeOf(request),
        );
        if (task === undefined) {
          throw new ServiceError("not-found", "task-not-found", `There is no task for order ${orderId}.`);
        }
        if (task.status === "cancelled") {
          throw new ServiceError("conflict", "task-cancelled", `Order ${orderId} was cancelled.`);
        }
        return shown(task);
      },
      {
        params: Type.Object({ orderId: OrderId }),
        detail: documented("The work for an order is done (admin)", {
          tag: TASKS,
          answers: { 200: TaskAnswer },
          problems: [404, 409],
          access: "admin",
        }),
      },
    );
}

function shown(task: Task) {
  const { orderId, customerId, status } = task;
  const openedAt = new Date(task.openedAt).toISOString();
  const done = task.status === "done" ? { doneAt: new Date(task.doneAt).toISOString() } : {};
  return { orderId, customerId, status, openedAt, ...done };
}
