import { hasSupervisor } from "../api/supervisor.ts";
import { session } from "../state/session.ts";
import { DeadLetters } from "./admin/dead-letters.tsx";
import { DeliverTwice } from "./admin/deliver-twice.tsx";
import { Outboxes } from "./admin/outboxes.tsx";
import { ProcessPanel } from "./admin/process-panel.tsx";
import { Stock } from "./admin/stock.tsx";
import { Topics } from "./admin/topics.tsx";
import { NoSupervisor } from "./frame.tsx";

/** The admin panel: processes, stock, outboxes, dead letters, topics; without a supervisor, an admin's stock. */
export function AdminView() {
  if (hasSupervisor) return <AdminPanel />;
  return session.value?.role === "admin" ? <StockOnly /> : <NoSupervisor title="Behind the counter" />;
}

function StockOnly() {
  return (
    <div class="admin">
      <header>
        <h1 tabIndex={-1}>Behind the counter</h1>
      </header>
      <Stock />
    </div>
  );
}

function AdminPanel() {
  return (
    <div class="admin">
      <header>
        <h1 tabIndex={-1}>Behind the counter</h1>
        <p class="lead">
          Stop something, order something, start it again. Whatever you do here, no order that was accepted is
          lost.
        </p>
      </header>
      <ProcessPanel />
      <div class="admin-pair">
        <Stock />
        <DeliverTwice />
      </div>
      <Outboxes />
      <DeadLetters />
      <Topics />
    </div>
  );
}
