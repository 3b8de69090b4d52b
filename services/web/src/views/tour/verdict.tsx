import type { Demonstration } from "../../tour/tour.ts";

const words: Readonly<Partial<Record<Demonstration["state"], string>>> = {
  held: "It held.",
  broken: "It could not be shown.",
  ended: "Ended.",
};

/** The result of a demonstration; nothing before there is one. */
export function Verdict({ state, text }: { state: Demonstration["state"]; text: string | undefined }) {
  const word = words[state];
  if (word === undefined) return null;
  return (
    <p class={`verdict verdict-${state}`}>
      <strong>{word}</strong> {text}
    </p>
  );
}
