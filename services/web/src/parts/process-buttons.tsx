import type { ProcessAction, ProcessReport } from "@distributed-messaging/supervisor/reports";
import { useSignal } from "@preact/signals";
import { messageOf } from "../api/request.ts";
import { act, isOneOfSeveral } from "../state/processes.ts";

const labels: Readonly<Record<ProcessAction, { text: string; title: string }>> = {
  stop: { text: "Stop", title: "SIGTERM; it stays down until it is started" },
  start: { text: "Start", title: "Runs it again" },
  kill: { text: "Kill", title: "SIGKILL; the supervisor starts it again" },
  pause: { text: "Pause", title: "SIGSTOP; it keeps its connections and answers nobody" },
  resume: { text: "Resume", title: "SIGCONT" },
  destroy: { text: "Destroy", title: "SIGKILL; its database is deleted" },
};

const canStop = new Set<ProcessReport["state"]>(["ready", "starting", "paused", "backing-off"]);
const canPause = new Set<ProcessReport["state"]>(["ready", "starting"]);
const canKill = new Set<ProcessReport["state"]>(["ready", "starting", "paused", "stopping"]);

/**
 * Three buttons at fixed places: stop or start, kill, pause or resume. One that is not possible now is disabled. With
 * `withDestroy`, one of several instances has a fourth.
 */
export function ProcessButtons({
  process: { name, state },
  withDestroy = false,
}: {
  process: ProcessReport;
  withDestroy?: boolean;
}) {
  const failure = useSignal<string | undefined>(undefined);
  const busy = useSignal(false);
  const button = (action: ProcessAction, possible: boolean) => {
    const { text, title } = labels[action];
    const enabled = possible && !busy.value;
    const press = async () => {
      if (!possible || busy.peek()) return;
      busy.value = true;
      failure.value = undefined;
      try {
        await act(name, action);
      } catch (error) {
        failure.value = messageOf(error);
      } finally {
        busy.value = false;
      }
    };
    return (
      // Not `disabled`: the button keeps the focus while its action is in progress.
      <button
        type="button"
        class="small"
        title={title}
        aria-label={`${text} ${name}`}
        aria-disabled={!enabled}
        onClick={press}
      >
        {text}
      </button>
    );
  };
  const isDown = state === "stopped" || state === "stopping";
  return (
    <div class="process-buttons">
      {isDown ? button("start", state === "stopped") : button("stop", canStop.has(state))}
      {button("kill", canKill.has(state))}
      {state === "paused" ? button("resume", true) : button("pause", canPause.has(state))}
      {withDestroy && isOneOfSeveral(name) && button("destroy", canKill.has(state))}
      {failure.value !== undefined && (
        <span class="outcome" role="alert">
          {failure.value}
        </span>
      )}
    </div>
  );
}
