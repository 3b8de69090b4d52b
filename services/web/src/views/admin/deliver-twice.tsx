import { useSignal } from "@preact/signals";
import { deliverAgain } from "../../api/supervisor.ts";
import { ActionButton, type ActionOutcome, Outcome } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";
import { StatusBadge } from "../../parts/order-status.tsx";
import { orders } from "../../state/orders.ts";
import { hrefOf } from "../../state/router.ts";
import { customerId } from "../../state/session.ts";

const SHOWN = 6;

/** Publishes the messages of an order again, as a redelivery by the broker. It must have no effect. */
export function DeliverTwice() {
  const orderId = useSignal("");
  const outcome = useSignal<ActionOutcome | undefined>(undefined);
  const again = async (id: string) => {
    const { records } = await deliverAgain({ orderId: id, customerId: customerId.peek() });
    const total = Object.values(records).reduce((sum, one) => sum + one, 0);
    return `${plural(total, "message")} published again. The inboxes drop them: see “duplicates” above.`;
  };
  const latest = orders.value.filter(({ status }) => status !== "sending").slice(0, SHOWN);
  return (
    <section class="panel" aria-labelledby="twice-title">
      <h2 id="twice-title">Send again</h2>
      <p class="hint">
        Publishes every message of an order once more. The status of the order, its news and the stock stay as
        they are.
      </p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
        }}
      >
        <label class="visually-hidden" for="twice-order">
          Number of the order
        </label>
        <input
          id="twice-order"
          value={orderId}
          placeholder="Number of an order"
          autocomplete="off"
          onInput={({ currentTarget }) => {
            orderId.value = currentTarget.value.trim();
          }}
        />
        <ActionButton
          onAct={() => again(orderId.peek())}
          outcome={outcome}
          disabled={!/^[\w-]{1,64}$/.test(orderId.value)}
        >
          Send again
        </ActionButton>
      </form>
      <p class="outcome-line">
        <Outcome of={outcome} />
      </p>
      {latest.length === 0 && (
        <p class="empty">
          {customerId.value === undefined
            ? "Sign in to have your own orders listed here."
            : "Your own orders are listed here once you have some."}
        </p>
      )}
      <ul class="latest">
        {latest.map((order) => (
          <li key={order.orderId} data-order={order.orderId}>
            <a class="order-id" href={hrefOf.order(order.orderId)}>
              {order.orderId}
            </a>
            <StatusBadge status={order.status} />
            <ActionButton
              label={`Send again ${order.orderId}`}
              onAct={() => again(order.orderId)}
              outcome={outcome}
            >
              Send again
            </ActionButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
