import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { messageOf } from "../api/request.ts";
import { announce } from "../state/announcer.ts";

interface ActionButtonProps {
  /** A returned text is shown and announced; the message of an error is shown. */
  readonly onAct: () => Promise<string | undefined>;
  readonly children: ComponentChildren;
  readonly label?: string;
  readonly class?: string;
  readonly disabled?: boolean;
}

/** A button for an asynchronous action. It is disabled during the action and shows the outcome. */
export function ActionButton({ onAct, children, label, class: look = "small", disabled }: ActionButtonProps) {
  const busy = useSignal(false);
  const outcome = useSignal<{ text: string; failed: boolean } | undefined>(undefined);
  const act = async () => {
    if (busy.peek()) return;
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
  const shown = outcome.value;
  return (
    <>
      <button
        type="button"
        class={look}
        aria-label={label}
        aria-busy={busy}
        disabled={disabled === true || busy.value}
        onClick={act}
      >
        {children}
      </button>
      {shown !== undefined && (
        <span class="outcome" {...(shown.failed ? { role: "alert" } : {})}>
          {shown.text}
        </span>
      )}
    </>
  );
}
