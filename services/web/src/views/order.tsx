import { useSignal } from "@preact/signals";
import { cancelOrder } from "../api/gateway.ts";
import { messageOf } from "../api/request.ts";
import { canCancel, type Order } from "../api/types.ts";
import { money, plural, time } from "../parts/format.ts";
import { describeStatus, StatusBadge, statusWords } from "../parts/order-status.tsx";
import { refusal, sending } from "../state/checkout.ts";
import { orders } from "../state/orders.ts";
import { nameOf } from "../state/products.ts";
import { hrefOf } from "../state/router.ts";
import { token } from "../state/session.ts";
import { type OrderState, useOrder } from "../state/use-order.ts";
import { SignInForm } from "./sign-in.tsx";
import { Timeline } from "./timeline.tsx";

export function OrderView({ orderId }: { orderId: string }) {
  const state = useOrder(orderId);
  if (token.value === undefined) {
    return (
      <section class="column">
        <h1 tabIndex={-1}>Order {orderId}</h1>
        <p>Sign in as its customer to see it.</p>
        <SignInForm id="order" />
      </section>
    );
  }
  const sendingOrder = sending.value.find((order) => order.orderId === orderId);
  const { order } = state.value;
  return (
    <div class="order">
      <section class="order-facts" aria-labelledby="order-title">
        <p class="crumb">
          <a href={hrefOf.orders}>Your orders</a>
        </p>
        <h1 id="order-title" tabIndex={-1}>
          Order <span class="order-number">{orderId}</span>
        </h1>
        {order === undefined ? (
          <Unknown orderId={orderId} state={state.value} failures={sendingOrder?.failures} />
        ) : (
          <Facts order={order} answered={state.value.answered} />
        )}
      </section>
      {(order !== undefined || sendingOrder !== undefined) && (
        <section class="order-way" aria-labelledby="way-title">
          <h2 id="way-title">How this order travelled</h2>
          <Timeline order={order} />
        </section>
      )}
    </div>
  );
}

interface UnknownProps {
  readonly orderId: string;
  readonly state: OrderState;
  /** The requests without an answer; undefined when the order is not being sent. */
  readonly failures: number | undefined;
}

function Unknown({ orderId, state, failures }: UnknownProps) {
  if (refusal.value?.orderId === orderId) {
    return (
      <div class="status-card status-bad" data-status="refused">
        <p role="alert">The order was not taken. {refusal.value.reason}</p>
        <p>
          What was in it is in <a href={hrefOf.basket}>the basket</a> again.
        </p>
      </div>
    );
  }
  if (failures !== undefined) {
    return (
      <div class="status-card" data-status="sending">
        <p class="status-line">
          <StatusBadge status="sending" />
        </p>
        <p>
          {failures === 0
            ? "On its way to the store."
            : `The store did not answer (${plural(failures, "time")}). The order is kept here, over a reload too, and sent again until the store has it. It will be placed once.`}
        </p>
      </div>
    );
  }
  if (state.missing) return <p>No such order on this account.</p>;
  if (state.answered) return <p aria-busy="true">Looking for it.</p>;
  const listed = orders.value.find((order) => order.orderId === orderId);
  return (
    <p aria-busy="true">
      The store does not answer just now.
      {listed !== undefined && (
        <>
          {" "}
          When it last did, this order was <StatusBadge status={listed.status} />
        </>
      )}
    </p>
  );
}

function Facts({ order, answered }: { order: Order; answered: boolean }) {
  const { tone } = statusWords[order.status];
  return (
    <>
      <div class={`status-card status-${tone}`} data-status={order.status}>
        <p class="status-line">
          <StatusBadge status={order.status} />
          <span>{time(Date.parse(order.updatedAt))}</span>
        </p>
        <p class="status-text">{describeStatus(order)}</p>
        {canCancel(order.status) && <CancelButton orderId={order.orderId} />}
      </div>
      {!answered && <p class="hint">The store does not answer just now: this is how it was.</p>}
      <Items order={order} />
    </>
  );
}

function Items({ order }: { order: Order }) {
  return (
    <div class="receipt">
      <p class="receipt-head">Placed {time(Date.parse(order.placedAt))}</p>
      <ul class="receipt-lines">
        {order.items.map(({ productId, quantity, unitPrice }) => (
          <li key={productId}>
            <span class="receipt-name">
              {quantity} × {nameOf(productId)}
            </span>
            <span class="receipt-amount">
              {money({ amount: quantity * unitPrice.amount, currency: unitPrice.currency })}
            </span>
          </li>
        ))}
      </ul>
      <p class="receipt-total">
        <span>Total</span>
        <span>{money(order.total)}</span>
      </p>
    </div>
  );
}

/** Requests the cancellation. The order shows it when the gateway has applied it. */
function CancelButton({ orderId }: { orderId: string }) {
  const requested = useSignal(false);
  const error = useSignal<string | undefined>(undefined);
  const cancel = async () => {
    const by = token.peek();
    if (by === undefined) return;
    requested.value = true;
    error.value = undefined;
    try {
      await cancelOrder(by, orderId);
    } catch (reason) {
      requested.value = false;
      error.value = messageOf(reason);
    }
  };
  return (
    <>
      <button type="button" class="danger" disabled={requested} onClick={cancel}>
        {requested.value ? "Asked to cancel…" : "Cancel this order"}
      </button>
      {error.value !== undefined && <p role="alert">{error}</p>}
    </>
  );
}
