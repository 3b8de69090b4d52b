import { announce } from "../state/announcer.ts";
import { MAX_QUANTITY } from "../state/basket.ts";

interface QuantityProps {
  /** The name of the product. */
  readonly name: string;
  readonly value: number;
  readonly onChange: (value: number) => void;
}

/** A quantity field with buttons for one less and one more. */
export function Quantity({ name, value, onChange }: QuantityProps) {
  // The focus stays on the button, so the new quantity is not read out by itself.
  const step = (next: number) => {
    onChange(next);
    announce(next > 0 ? `${name}: ${next} in the basket.` : `${name} is not in the basket any more.`);
  };
  return (
    <fieldset class="quantity">
      <legend class="visually-hidden">How many of {name}</legend>
      <button type="button" aria-label={`One ${name} less`} onClick={() => step(value - 1)}>
        −
      </button>
      <input
        type="number"
        inputmode="numeric"
        min={0}
        max={MAX_QUANTITY}
        value={value}
        aria-label={`Number of ${name}`}
        onChange={({ currentTarget }) => onChange(currentTarget.valueAsNumber)}
      />
      <button
        type="button"
        aria-label={`One ${name} more`}
        disabled={value >= MAX_QUANTITY}
        onClick={() => step(value + 1)}
      >
        +
      </button>
    </fieldset>
  );
}
