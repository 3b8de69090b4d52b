import { useSignal } from "@preact/signals";
import { restock } from "../api/admin.ts";
import { cancelOrder } from "../api/gateway.ts";
import { messageOf } from "../api/request.ts";
import { canCancel, type Line, type Money, type Order } from "../api/types.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { money, plural, time } from "../parts/format.ts";
import { describeStatus, StatusBadge, statusWords } from "../parts/order-status.tsx";
import { changeRefused, refused, removeRefused, sending } from "../state/checkout.ts";
import { type ListedOrder, orders } from "../state/orders.ts";
import { gatewayAnswers, nameOf, productsById, refreshProducts } from "../state/products.ts";
import { goTo, hrefOf } from "../state/router.ts";
import { isOperator, token } from "../state/session.ts";
import { type OrderState, useOrder } from "../state/use-order.ts";
import { SignInForm } from "./sign-in.tsx";
import { Timeline } from "./timeline.tsx";

export function OrderView({ orderId }: { orderId: string }) {
  const state = useOrder(orderId);
  if (token.value === undefined) {
    return (
      <section class="column">
        <h1 tabIndex={-1}>
          Order <span class="order-number">{orderId}</span>
        </h1>
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
          <Unknown orderId={orderId} state={state.value} />
        ) : (
          <Facts order={order} answered={state.value.answered} />
        )}
      </section>
      {(order !== undefined || sendingOrder !== undefined) && (
        <section class="order-way" aria-labelledby="way-title">
          <h2 id="way-title">How this order {order === undefined ? "travels" : "travelled"}</h2>
          <Timeline order={order} />
        </section>
      )}
    </div>
  );
}

/** An order that the gateway has not shown. */
function Unknown({ orderId, state }: { orderId: string; state: OrderState }) {
  const isThis = (order: { readonly orderId: string }) => order.orderId === orderId;
  const listed = orders.value.find(isThis);
  const refusedOrder = refused.value.find(isThis);
  const sendingOrder = sending.value.find(isThis);
  if (refusedOrder !== undefined || sendingOrder !== undefined) {
    return (
      <>
        {refusedOrder !== undefined && <RefusedOrder orderId={orderId} reason={refusedOrder.refusal} />}
        {sendingOrder !== undefined && <SendingOrder order={sendingOrder} />}
        {listed !== undefined && <ListedItems order={listed} />}
      </>
    );
  }
  if (state.missing) return <p>No such order on this account.</p>;
  if (state.answered && listed === undefined) return <p aria-busy="true">Looking for it.</p>;
  return (
    <>
      <p aria-busy="true">
        {state.answered ? "Looking for news of it." : "The store cannot be reached."}
        {listed !== undefined && (
          <>
            {" "}
            When it last answered, this order was <StatusBadge status={listed.status} />
          </>
        )}
      </p>
      {listed !== undefined && <ListedItems order={listed} />}
    </>
  );
}

/** It stays here until its customer has decided. */
function RefusedOrder({ orderId, reason }: { orderId: string; reason: string | undefined }) {
  const change = () => {
    changeRefused(orderId);
    goTo(hrefOf.basket);
  };
  const remove = () => {
    removeRefused(orderId);
    goTo(hrefOf.orders);
  };
  return (
    <div class="status-card status-bad" data-status="refused">
      <p role="alert">The order was not taken. {reason}</p>
      <div class="row wrap">
        <button type="button" onClick={change}>
          Put it into the basket again
        </button>
        <button type="button" class="danger" onClick={remove}>
          Remove it
        </button>
      </div>
    </div>
  );
}

function SendingOrder({ order }: { order: (typeof sending.value)[number] }) {
  const { failures, problem, isStored } = order;
  const isReached = gatewayAnswers.value && (failures === 0 || problem !== undefined);
  const kept = isStored
    ? `Your order is kept in this browser and is sent ${isReached ? "again" : "when the store is back"}.`
    : "This browser refuses to keep your order: leave this page open until the store has it.";
  return (
    <div class="status-card" data-status="sending">
      <p class="status-line">
        <StatusBadge status="sending" />
      </p>
      <p>
        {!isReached && `The store cannot be reached. ${kept}`}
        {isReached && problem === undefined && (isStored ? "On its way to the store." : kept)}
        {isReached && problem !== undefined && `The store cannot take it just now. ${problem} ${kept}`}
      </p>
      {failures > 0 && (
        <p class="hint">Tried {plural(failures, "time")}. However often it is sent, it counts once.</p>
      )}
    </div>
  );
}

/** What this browser knows of an order. */
function ListedItems({ order: { lines, total, placedAt } }: { order: ListedOrder }) {
  const known = productsById.value;
  const priced = lines.map((line) => ({ ...line, unitPrice: known.get(line.productId)?.price }));
  return <Receipt head={`Ordered ${time(placedAt)}`} lines={priced} total={total} />;
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
        {isOperator.value && <RestockMissing order={order} />}
        {canCancel(order.status) && <CancelButton orderId={order.orderId} />}
      </div>
      {!answered && <p class="hint">The store cannot be reached: this is how it was.</p>}
      <Receipt head={`Placed ${time(Date.parse(order.placedAt))}`} lines={order.items} total={order.total} />
    </>
  );
}

/** Restocks exactly what a waiting order lacks, for operators. */
function RestockMissing({ order }: { order: Order }) {
  /** The restocks of this page that were accepted: a further one is meant to count, too. */
  const accepted = useSignal(0);
  const { orderId, status, updatedAt, shortages = [] } = order;
  if (status !== "backordered" || shortages.length === 0) return null;
  const restockMissing = async () => {
    // Until it is accepted, it counts once: pressed again after an error, in another tab, or while the order is told.
    const key = `waiting-order:${orderId}:${Date.parse(updatedAt)}:${accepted.peek()}`;
    let isRepeated = false;
    for (const { productId, missing } of shortages) {
      const hasCounted = await restock(productId, missing, `${key}:${productId}:${missing}`);
      isRepeated ||= hasCounted;
    }
    accepted.value += 1;
    refreshProducts();
    const done = isRepeated
      ? "It was asked for before, and counts once. Press again to add as much once more."
      : "New stock is on the way.";
    return `${done} Orders that came earlier are served first.`;
  };
  return (
    <div class="missing">
      <ActionButton onAct={restockMissing}>Restock what is missing</ActionButton>
    </div>
  );
}

interface ReceiptProps {
  readonly head: string;
  /** Without a price where it is not known. */
  readonly lines: readonly (Line & { readonly unitPrice: Money | undefined })[];
  readonly total: Money | undefined;
}

function Receipt({ head, lines, total }: ReceiptProps) {
  return (
    <div class="receipt">
      <p class="receipt-head">{head}</p>
      <ul class="receipt-lines">
        {lines.map(({ productId, quantity, unitPrice }) => (
          <li key={productId}>
            <span class="receipt-name">
              {quantity} × {nameOf(productId)}
            </span>
            {unitPrice !== undefined && (
              <span class="receipt-amount">
                {money({ ...unitPrice, amount: quantity * unitPrice.amount })}
              </span>
            )}
          </li>
        ))}
      </ul>
      {total !== undefined && (
        <p class="receipt-total">
          <span>Total</span>
          <span>{money(total)}</span>
        </p>
      )}
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
      <button type="button" class="small danger" disabled={requested} onClick={cancel}>
        {requested.value ? "Asked to cancel…" : "Cancel this order"}
      </button>
      {error.value !== undefined && <p role="alert">{error}</p>}
    </>
  );
}
