import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { editDeadLetter, replayDeadLetter, showDeadLetter } from "../../api/admin.ts";
import { messageOf } from "../../api/request.ts";
import type { DeadLetterDetails } from "../../api/types.ts";
import { isRecord, parseJson } from "../../json.ts";
import { ActionButton, type ActionOutcome, Outcome } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";
import { discardSoon, isSameMessage, keyOf } from "../../state/discards.ts";

interface DeadLetterProps {
  readonly service: string;
  readonly id: number;
  /** Called after a change of the list. @param gone the key of a dead letter that is gone */
  readonly onChange: (gone?: string) => Promise<void>;
}

/** The texts that are not saved: closing a dead letter, or looking at something else, does not lose them. */
const drafts = new Map<string, string>();

/** A store that was started anew gives its first dead letters the ids of other messages. */
function draftKeyOf(service: string, { id, raw }: DeadLetterDetails): string {
  return `${keyOf(service, id)} ${raw?.base64 ?? ""}`;
}

/** One dead letter: the message, the error, and the actions. */
export function DeadLetter({ service, id, onChange }: DeadLetterProps) {
  const details = useSignal<DeadLetterDetails | undefined>(undefined);
  const error = useSignal<string | undefined>(undefined);
  const text = useSignal("");
  const outcome = useSignal<ActionOutcome | undefined>(undefined);
  useEffect(() => {
    showDeadLetter(service, id).then(
      (found) => {
        details.value = found;
        text.value = drafts.get(draftKeyOf(service, found)) ?? shownText(found);
      },
      (reason: unknown) => {
        error.value = messageOf(reason);
      },
    );
  }, [service, id, details, text, error]);
  const letter = details.value;
  if (letter === undefined) return <p class="empty">{error.value ?? "Fetching it."}</p>;
  const problem = "problem" in letter.decoded ? letter.decoded.problem : undefined;
  const isDraft = text.value !== shownText(letter);
  const key = draftKeyOf(service, letter);
  const show = (found: DeadLetterDetails) => {
    drafts.delete(key);
    details.value = found;
    text.value = shownText(found);
  };
  const save = async () => {
    const message = parseJson(text.peek());
    if (message === undefined) throw new Error("Not saved: the text is not JSON.");
    if (!isRecord(message)) throw new Error("Not saved: a message is a JSON object.");
    const saved = editDeadLetter(service, id, message);
    show(
      await saved.catch((reason: unknown) => {
        throw new Error(`Not saved: ${messageOf(reason)}`);
      }),
    );
    await onChange();
  };
  /** What is replayed is what is on the screen: a text that is not saved is saved first. */
  const replay = async () => {
    const current = await showDeadLetter(service, id);
    if (!isSameMessage(letter, current)) {
      if (isDraft) details.value = current;
      else show(current);
      const next = isDraft
        ? "Your text is not saved: replay again to replace the other one."
        : "The other text is shown now.";
      throw new Error(`Nothing was done: somebody else has edited the message meanwhile. ${next}`);
    }
    if (isDraft) await save();
    const replayed = await replayDeadLetter(service, id);
    await onChange();
    if (replayed.outcome === "failed") {
      throw new Error(`It failed again: ${escapeInvisible(replayed.detail ?? "")}`);
    }
    return outcomes[replayed.outcome] ?? `It was ${replayed.outcome}.`;
  };
  const fieldId = `dead-letter-${service}-${id}`;
  return (
    <div class="dead-letter">
      <p>
        {problem === undefined
          ? "The message itself can be read."
          : letter.error.includes(problem)
            ? "The message itself is wrong."
            : `What is wrong: ${escapeInvisible(problem)}.`}
        {letter.lineLength > 1 && ` ${letter.lineLength} messages of this key are kept here.`}
      </p>
      <label for={fieldId}>The message</label>
      <textarea
        id={fieldId}
        rows={18}
        spellcheck={false}
        value={text}
        aria-describedby={`${fieldId}-draft`}
        onInput={({ currentTarget }) => {
          text.value = currentTarget.value;
          if (text.peek() === shownText(letter)) drafts.delete(key);
          else drafts.set(key, text.peek());
        }}
      />
      <p id={`${fieldId}-draft`} class="outcome-line hint">
        {isDraft && "This text is not saved. A replay saves it first."}
      </p>
      <div class="row wrap">
        <ActionButton
          outcome={outcome}
          disabled={!isDraft}
          onAct={async () => {
            await save();
            return "Saved beside what came. Replay it now.";
          }}
        >
          Save the edit
        </ActionButton>
        <ActionButton outcome={outcome} onAct={replay}>
          {isDraft ? "Save and replay" : "Replay"}
        </ActionButton>
        <DiscardButton letter={letter} onConfirm={() => discardSoon(service, letter, onChange)} />
      </div>
      <p class="outcome-line">
        <Outcome of={outcome} />
      </p>
    </div>
  );
}

const outcomes: Readonly<Record<string, string>> = {
  handled: "It was handled.",
  duplicate: "It had been handled before: it was dropped as a duplicate.",
  skipped: "This service does not handle such messages: it was skipped.",
};

/** Asks before it acts. The browser returns the focus from the dialog to the button. */
function DiscardButton({ letter, onConfirm }: { letter: DeadLetterDetails; onConfirm: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = `discard-${letter.topic}-${letter.id}`;
  const blocked = letter.lineLength - 1;
  return (
    <>
      <button type="button" class="small danger" onClick={() => dialog.current?.showModal()}>
        Discard
      </button>
      <dialog ref={dialog} class="confirm" aria-labelledby={titleId}>
        <h3 id={titleId}>Discard this message?</h3>
        <p>
          It is deleted and never handled.
          {blocked > 0 &&
            ` ${plural(blocked, "message that waits behind it is", "messages that wait behind it are")} handled then.`}
        </p>
        <div class="row wrap">
          <button type="button" class="small" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
          <button
            type="button"
            class="small danger"
            onClick={() => {
              dialog.current?.close();
              onConfirm();
            }}
          >
            Discard it
          </button>
        </div>
      </dialog>
    </>
  );
}

/** The edited message, otherwise the received one; indented if it is JSON. What is invisible is escaped, which JSON reads as the same. */
function shownText({ edited, raw }: DeadLetterDetails): string {
  const text = (edited ?? raw)?.text ?? "";
  const message = parseJson(text);
  return escapeInvisible(message === undefined ? text : JSON.stringify(message, null, 2));
}
