import { hasSupervisor } from "../api/supervisor.ts";
import { readFigures } from "../state/figures.ts";
import { usePoll } from "../state/poll.ts";
import { DeadLetterDesk } from "./counter/dead-letters.tsx";
import { DeliverTwice } from "./counter/deliver-twice.tsx";
import { Mail } from "./counter/mail.tsx";
import { ProcessPanel } from "./counter/process-panel.tsx";
import { Stock } from "./counter/stock.tsx";
import { Topics } from "./counter/topics.tsx";
import { NoSupervisor } from "./no-supervisor.tsx";

const POLL_MS = 2_000;

/** For those who run the store: break it, mend it, look inside. */
export function CounterView() {
  return hasSupervisor ? <Counter /> : <NoSupervisor title="Behind the counter" />;
}

function Counter() {
  usePoll(readFigures, POLL_MS);
  return (
    <div class="counter">
      <header>
        <h1 tabIndex={-1}>Behind the counter</h1>
        <p class="lead">
          Stop something, order something, start it again. Whatever you do here, no order that was accepted is
          lost.
        </p>
      </header>
      <ProcessPanel />
      <div class="counter-pair">
        <Stock />
        <DeliverTwice />
      </div>
      <Mail />
      <DeadLetterDesk />
      <Topics />
    </div>
  );
}
