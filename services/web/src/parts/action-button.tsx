import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { messageOf } from "../api/request.ts";
import { announce } from "../state/announcer.ts";

/** What an action did, or why it failed. */
export interface ActionOutcome {
  readonly text: string;
  readonly failed: boolean;
}

interface ActionButtonProps {
  /** A returned text is shown and announced; the message of an error is shown. */
  readonly onAct: () => Promise<string | undefined>;
  readonly children: ComponentChildren;
  readonly label?: string;
  readonly class?: string;
  readonly disabled?: boolean;
  /** Receives the outcome, which an `Outcome` elsewhere shows; by default it is shown beside the button. */
  readonly outcome?: Signal<ActionOutcome | undefined>;
}

/** A button for an asynchronous action. It does nothing during the action, keeps the focus, and shows the outcome. */
export function ActionButton(props: ActionButtonProps) {
  const { onAct, children, label, class: look = "small", disabled = false } = props;
  const busy = useSignal(false);
  const own = useSignal<ActionOutcome | undefined>(undefined);
  const outcome = props.outcome ?? own;
  const act = async () => {
    if (disabled || busy.peek()) return;
    busy.value = true;
    outcome.value = undefined;
    try {
      const text = await onAct();
      if (text !== undefined) {
        outcome.value = { text, failed: false };
        announce(text);
      }
    } catch (error) {
      outcome.value = { text: messageOf(error), failed: true };
    } finally {
      busy.value = false;
    }
  };
  return (
    <>
      {/* Not `disabled`, which would take the focus away. */}
      <button
        type="button"
        class={look}
        aria-label={label}
        aria-busy={busy}
        aria-disabled={disabled || busy.value}
        onClick={act}
      >
        {children}
      </button>
      {props.outcome === undefined && <Outcome of={own} />}
    </>
  );
}

/** The outcome of an action. */
export function Outcome({ of }: { of: Signal<ActionOutcome | undefined> }) {
  const shown = of.value;
  if (shown === undefined) return null;
  return (
    <span class="outcome" {...(shown.failed ? { role: "alert" } : {})}>
      {shown.text}
    </span>
  );
}
