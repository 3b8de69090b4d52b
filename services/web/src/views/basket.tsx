import { useRef } from "preact/hooks";
import type { Line } from "../api/types.ts";
import { listed, money, plural } from "../parts/format.ts";
import { Quantity } from "../parts/quantity.tsx";
import { basket, itemCount, setQuantity } from "../state/basket.ts";
import { checkOut, refused, sending } from "../state/checkout.ts";
import { gatewayAnswers, nameOf, productsById, UNREACHABLE } from "../state/products.ts";
import { goTo, hrefOf } from "../state/router.ts";
import { session } from "../state/session.ts";
import { SignInForm } from "./sign-in.tsx";

/** The basket as a view, for phones. */
export function BasketView() {
  return (
    <section class="column" aria-labelledby="basket-title">
      <h1 id="basket-title" tabIndex={-1}>
        Basket
      </h1>
      <BasketPanel id="view" />
      {itemCount.value === 0 && (
        <p>
          <a href={hrefOf.shop}>To the shelves</a>
        </p>
      )}
    </section>
  );
}

/** The lines of the basket and the checkout. @param id unique in the page */
export function BasketPanel({ id }: { id: string }) {
  const { lines } = basket.value;
  return (
    <div class="receipt" tabIndex={-1}>
      <p class="receipt-head" aria-hidden="true">
        Still Open
      </p>
      {lines.length === 0 ? <EmptyBasket /> : <Lines lines={lines} />}
      {refused.value.map(({ orderId, refusal }) => (
        <p key={orderId} class="refusal" role="alert">
          An order was not taken. {refusal} <a href={hrefOf.order(orderId)}>Change or remove it</a>
        </p>
      ))}
      {lines.length > 0 && <CheckOut id={id} />}
    </div>
  );
}

function EmptyBasket() {
  const count = sending.value.length;
  return (
    <div class="empty">
      <p>The basket is empty.</p>
      {count > 0 && (
        <p>
          {gatewayAnswers.value
            ? `${plural(count, "order is", "orders are")} on the way to the store.`
            : `The store cannot be reached. ${plural(count, "order is", "orders are")} kept in this browser and sent when the store is back.`}{" "}
          <a href={hrefOf.orders}>See your orders</a>
        </p>
      )}
    </div>
  );
}

/** Changes a line. When the line is removed with its focused button, the receipt gets the focus. */
function change(productId: string, quantity: number, list: HTMLElement | null): void {
  setQuantity(productId, quantity);
  if (quantity <= 0) list?.closest<HTMLElement>(".receipt")?.focus();
}

function Lines({ lines }: { lines: readonly Line[] }) {
  const list = useRef<HTMLUListElement>(null);
  const known = productsById.value;
  const priced = lines.map((line) => ({ ...line, product: known.get(line.productId) }));
  const total = priced.reduce(
    (sum, { quantity, product }) => sum + quantity * (product?.price.amount ?? 0),
    0,
  );
  const currency = priced[0]?.product?.price.currency;
  const short = priced.filter(
    ({ quantity, product }) => product !== undefined && quantity > product.available,
  );
  return (
    <>
      <ul class="receipt-lines" ref={list}>
        {priced.map(({ productId, quantity, product }) => (
          <li key={productId}>
            <span class="receipt-name">{product?.name ?? productId}</span>
            <span class="receipt-amount">
              {product === undefined
                ? "…"
                : money({ amount: quantity * product.price.amount, currency: product.price.currency })}
            </span>
            <Quantity
              name={product?.name ?? productId}
              value={quantity}
              onChange={(value) => change(productId, value, list.current)}
            />
          </li>
        ))}
      </ul>
      <p class="receipt-total">
        <span>Total</span>
        <span data-total>{currency === undefined ? "…" : money({ amount: total, currency })}</span>
      </p>
      {short.length > 0 && (
        <p class="hint">
          Not enough of {listed(short.map(({ productId }) => nameOf(productId)))} just now: the order will
          wait.
        </p>
      )}
    </>
  );
}

function CheckOut({ id }: { id: string }) {
  if (session.value === null)
    return (
      <>
        <p>Sign in to place the order.</p>
        <SignInForm id={id} />
      </>
    );
  const place = () => {
    const orderId = checkOut();
    // The basket is empty when another tab has placed it; its order is in the list.
    goTo(orderId === undefined ? hrefOf.orders : hrefOf.order(orderId));
  };
  return (
    <>
      <button type="button" class="primary" onClick={place}>
        Place the order
      </button>
      {!gatewayAnswers.value && <p class="hint">{UNREACHABLE}</p>}
    </>
  );
}

/** The link to the basket below the products, for phones. */
export function BasketBar() {
  return (
    <section class="basket-place" aria-label="To the basket">
      <a class="basket-bar" href={hrefOf.basket} data-empty={itemCount.value === 0}>
        <span>{itemCount.value === 0 ? "The basket is empty" : plural(itemCount.value, "thing")}</span>
        <span>To the basket</span>
      </a>
    </section>
  );
}
