import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import {
  type DeadLetterDetails,
  discardDeadLetter,
  editDeadLetter,
  replayDeadLetter,
  showDeadLetter,
} from "../../api/dead-letters.ts";
import { wordsFor } from "../../api/request.ts";
import { ActionButton } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";
import { isRecord } from "../../state/storage.ts";

interface LetterProps {
  readonly service: string;
  readonly id: number;
  /** The list is not what it was. */
  readonly onChange: () => Promise<void>;
}

/** One dead letter: what came, what is wrong with it, and what can be done. */
export function Letter({ service, id, onChange }: LetterProps) {
  const details = useSignal<DeadLetterDetails | undefined>(undefined);
  const error = useSignal<string | undefined>(undefined);
  const text = useSignal("");
  useEffect(() => {
    showDeadLetter(service, id).then(
      (found) => {
        details.value = found;
        text.value = pretty(found);
      },
      (reason: unknown) => {
        error.value = wordsFor(reason);
      },
    );
  }, [service, id, details, text, error]);
  const letter = details.value;
  if (letter === undefined) return <p class="empty">{error.value ?? "Fetching it."}</p>;
  const save = async () => {
    const message: unknown = JSON.parse(text.peek());
    if (!isRecord(message)) throw new Error("A message is a JSON object.");
    details.value = await editDeadLetter(service, id, message);
    await onChange();
    return "Kept beside what came. Replay it now.";
  };
  const replay = async () => {
    const { outcome, detail } = await replayDeadLetter(service, id);
    await onChange();
    return detail === undefined ? `It was ${outcome}.` : `${outcome}: ${detail}`;
  };
  const discard = async () => {
    await discardDeadLetter(service, id, "thrown away at the counter");
    await onChange();
    return undefined;
  };
  return (
    <div class="letter">
      <p>
        {letter.decoded.problem === undefined
          ? "The message itself can be read."
          : `What is wrong: ${letter.decoded.problem}.`}
        {letter.lineLength > 1 && ` ${plural(letter.lineLength, "message")} of this key stand in its line.`}
      </p>
      <label for={`letter-${service}-${id}`}>The message</label>
      <textarea
        id={`letter-${service}-${id}`}
        rows={12}
        spellcheck={false}
        value={text}
        onInput={({ currentTarget }) => {
          text.value = currentTarget.value;
        }}
      />
      <div class="row wrap">
        <ActionButton onAct={save}>Save the edit</ActionButton>
        <ActionButton onAct={replay}>Replay</ActionButton>
        <ActionButton onAct={discard} class="small danger">
          Throw away
        </ActionButton>
      </div>
    </div>
  );
}

/** What was put in its place if anything was, else what came: as JSON if it is some, else as it is. */
function pretty({ edited, raw }: DeadLetterDetails): string {
  const text = (edited ?? raw)?.text ?? "";
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
