import { useLayoutEffect, useRef } from "preact/hooks";
import type { Product } from "../api/types.ts";
import { money, plural } from "../parts/format.ts";
import { Picture } from "../parts/pictures.tsx";
import { Quantity } from "../parts/quantity.tsx";
import { announce } from "../state/announcer.ts";
import { quantityOf, setQuantity } from "../state/basket.ts";
import { gatewayAnswers, products } from "../state/products.ts";
import { BasketPanel } from "./basket.tsx";

/** As many as the products of the demo store, so that nothing moves when they are loaded. */
const PLACEHOLDERS = Array.from({ length: 12 }, (_, index) => `placeholder-${index}`);
/** Up to this stock the number is shown. */
const FEW = 3;

export function ShopView() {
  return (
    <div class="shop">
      <section class="shelves" aria-labelledby="shop-title">
        <h1 id="shop-title" tabIndex={-1}>
          Coffee gear
        </h1>
        <p class="lead">
          The shop stays open when its parts fail. Sold out? Order anyway: your order waits, and new stock
          goes to waiting orders first.
        </p>
        <Shelves />
      </section>
      <aside class="shop-side" aria-label="Basket">
        <BasketPanel id="side" />
      </aside>
    </div>
  );
}

function Shelves() {
  const list = products.value;
  if (list === undefined) {
    return (
      <ul class="products" aria-busy="true" aria-label="The products are on their way">
        {PLACEHOLDERS.map((key) => (
          <li key={key} class="product product-blank" />
        ))}
      </ul>
    );
  }
  if (list.length === 0) return <p class="empty">Nothing is sold here yet.</p>;
  return (
    <>
      <ul class="products">
        {list.map((product) => (
          <ProductCard key={product.productId} product={product} />
        ))}
      </ul>
      {!gatewayAnswers.value && (
        <p class="hint">Prices and stock are as they were when the store last answered.</p>
      )}
    </>
  );
}

function ProductCard({ product }: { product: Product }) {
  const { productId, name, price } = product;
  const quantity = quantityOf(productId);
  const label = product.available === 0 ? "Order and wait" : "Add";
  const action = useRef<HTMLDivElement>(null);
  const acted = useRef(false);
  const change = (value: number) => {
    acted.current = true;
    setQuantity(productId, value);
    if (quantity === 0) announce(`${name} is in the basket.`);
  };
  const inBasket = quantity > 0;
  // The pressed button was replaced: its replacement gets the focus.
  useLayoutEffect(() => {
    if (!acted.current || action.current?.contains(document.activeElement)) return;
    acted.current = false;
    const last = inBasket ? "button:last-child" : "button";
    action.current?.querySelector<HTMLElement>(last)?.focus();
  }, [inBasket]);
  return (
    <li class="product" data-product={productId}>
      <div class="product-picture">
        <Picture name={name} />
      </div>
      <h2>{name}</h2>
      <p class="product-price">{money(price)}</p>
      <Availability available={product.available} />
      <div class="product-action" ref={action}>
        {quantity === 0 ? (
          <button type="button" class="add" onClick={() => change(1)} aria-label={`${label}: ${name}`}>
            {label}
          </button>
        ) : (
          <Quantity name={name} value={quantity} onChange={change} />
        )}
      </div>
    </li>
  );
}

function Availability({ available }: { available: number }) {
  const tone = available === 0 ? "none" : available <= FEW ? "few" : "some";
  const text =
    available === 0
      ? "Sold out"
      : available <= FEW
        ? `Only ${available} left`
        : plural(available, "in stock", "in stock");
  return (
    <p class={`stock stock-${tone}`} data-available={available}>
      {text}
    </p>
  );
}
