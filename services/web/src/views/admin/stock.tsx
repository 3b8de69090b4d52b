import { useSignal } from "@preact/signals";
import { restock } from "../../api/admin.ts";
import type { Product } from "../../api/types.ts";
import { ActionButton } from "../../parts/action-button.tsx";
import { count } from "../../parts/format.ts";
import { MAX_QUANTITY } from "../../state/basket.ts";
import { products, refreshProducts } from "../../state/products.ts";

const DEFAULT_QUANTITY = 10;

/** The stock of every product, with a form to add more. */
export function Stock() {
  const list = products.value;
  return (
    <section class="panel" aria-labelledby="stock-title">
      <h2 id="stock-title">Stock</h2>
      <p class="hint">New stock goes to the orders that wait first, in the order in which they came.</p>
      {list === undefined && <p class="empty">The products are on their way.</p>}
      <ul class="stock-list">
        {(list ?? []).map((product) => (
          <Row key={product.productId} product={product} />
        ))}
      </ul>
    </section>
  );
}

function Row({ product: { productId, name, available } }: { product: Product }) {
  const quantity = useSignal(DEFAULT_QUANTITY);
  const add = async () => {
    await restock(productId, quantity.peek());
    refreshProducts();
    return `Restock of ${count(quantity.peek())} accepted.`;
  };
  return (
    <li data-stock={productId}>
      <span class="stock-name">{name}</span>
      <span class="stock-count">
        {count(available)} <span class="hint">available</span>
      </span>
      <div class="row stock-form">
        <input
          class="short"
          type="number"
          min={1}
          max={MAX_QUANTITY}
          value={quantity}
          aria-label={`How many more of ${name}`}
          onChange={({ currentTarget }) => {
            quantity.value = Math.min(
              MAX_QUANTITY,
              Math.max(1, Math.trunc(currentTarget.valueAsNumber) || 1),
            );
          }}
        />
        <ActionButton label={`Restock ${name}`} onAct={add}>
          Restock
        </ActionButton>
      </div>
    </li>
  );
}
