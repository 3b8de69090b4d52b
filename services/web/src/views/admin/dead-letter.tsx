import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import {
  type DeadLetterDetails,
  discardDeadLetter,
  editDeadLetter,
  replayDeadLetter,
  showDeadLetter,
} from "../../api/admin.ts";
import { messageOf } from "../../api/request.ts";
import { isRecord, parseJson } from "../../json.ts";
import { ActionButton } from "../../parts/action-button.tsx";
import { plural } from "../../parts/format.ts";

interface DeadLetterProps {
  readonly service: string;
  readonly id: number;
  /** Called after a change of the list. */
  readonly onChange: () => Promise<void>;
}

/** One dead letter: the message, the error, and the actions. */
export function DeadLetter({ service, id, onChange }: DeadLetterProps) {
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
        error.value = messageOf(reason);
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
    await discardDeadLetter(service, id, "discarded in the admin panel");
    await onChange();
    return undefined;
  };
  return (
    <div class="dead-letter">
      <p>
        {letter.decoded.problem === undefined
          ? "The message itself can be read."
          : `What is wrong: ${escapeInvisible(letter.decoded.problem)}.`}
        {letter.lineLength > 1 && ` ${plural(letter.lineLength, "message")} of this key stand in its line.`}
      </p>
      <label for={`dead-letter-${service}-${id}`}>The message</label>
      <textarea
        id={`dead-letter-${service}-${id}`}
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

/** The edited message, otherwise the received one; indented if it is JSON. What is invisible is escaped, which JSON reads as the same. */
function pretty({ edited, raw }: DeadLetterDetails): string {
  const text = (edited ?? raw)?.text ?? "";
  const message = parseJson(text);
  return escapeInvisible(message === undefined ? text : JSON.stringify(message, null, 2));
}
