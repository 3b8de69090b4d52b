import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { messageOf } from "../api/request.ts";
import { money, plural, time } from "../parts/format.ts";
import { StatusBadge } from "../parts/order-status.tsx";
import { WindowedList } from "../parts/windowed-list.tsx";
import { type ListedOrder, loadOrders, moreOrders, orders } from "../state/orders.ts";
import { gatewayAnswers, nameOf } from "../state/products.ts";
import { hrefOf } from "../state/router.ts";
import { customerId } from "../state/session.ts";
import { SignInForm } from "./sign-in.tsx";

const ROW_HEIGHT = 72;

export function OrdersView() {
  const customer = customerId.value;
  return (
    <section class="column wide" aria-labelledby="orders-title">
      <h1 id="orders-title" tabIndex={-1}>
        Your orders
      </h1>
      {customer === undefined ? (
        <>
          <p>Sign in to see your orders.</p>
          <SignInForm id="orders" />
        </>
      ) : (
        <OrderList key={customer} />
      )}
    </section>
  );
}

function OrderList() {
  const busy = useSignal(true);
  const error = useSignal<string | undefined>(undefined);
  const load = async (older: boolean) => {
    busy.value = true;
    error.value = undefined;
    try {
      await loadOrders(older);
    } catch (reason) {
      const what = older ? "Older orders cannot be loaded now" : "This list may be out of date";
      error.value = `${what}: ${messageOf(reason)}`;
    } finally {
      busy.value = false;
    }
  };
  const answers = gatewayAnswers.value;
  useEffect(() => {
    if (answers) void load(false);
    else busy.value = false;
  }, [answers]);
  const list = orders.value;
  return (
    <>
      {(list.length > 0 || busy.value) && <Summary list={list} />}
      {list.length === 0 && !busy.value && (
        <p class="empty">
          No orders yet. <a href={hrefOf.shop}>To the shelves</a>
        </p>
      )}
      <WindowedList
        items={list}
        keyOf={({ orderId }) => orderId}
        row={(order) => <Row order={order} />}
        rowHeight={ROW_HEIGHT}
        label="Orders, newest first"
      />
      {!answers && (
        <p class="hint">The store cannot be reached. These are the orders that this browser knows.</p>
      )}
      {answers && error.value !== undefined && <p role="alert">{error}</p>}
      {moreOrders.value && list.length > 0 && (
        <button type="button" disabled={busy.value || !answers} onClick={() => load(true)}>
          Show older orders
        </button>
      )}
    </>
  );
}

function Summary({ list }: { list: readonly ListedOrder[] }) {
  const by = Map.groupBy(list, ({ status }) => status);
  const parts = [...by].map(([status, { length }]) => (
    <li key={status}>
      <StatusBadge status={status} /> {length}
    </li>
  ));
  return (
    <ul class="summary" aria-label={plural(list.length, "order")}>
      {parts}
    </ul>
  );
}

function Row({ order }: { order: ListedOrder }) {
  return (
    <a class="order-row" href={hrefOf.order(order.orderId)}>
      <span class="order-what">
        <span class="order-names" title={contents(order)}>
          {contents(order)}
        </span>
        <span class="order-id">{order.orderId}</span>
      </span>
      <StatusBadge status={order.status} />
      <span class="order-when">{time(order.placedAt)}</span>
      <span class="order-total">{order.total === undefined ? "" : money(order.total)}</span>
    </a>
  );
}

function contents({ lines }: ListedOrder): string {
  return lines.map(({ productId, quantity }) => `${quantity} × ${nameOf(productId)}`).join(" · ");
}
