import { hasSupervisor } from "../api/supervisor.ts";
import { count } from "../parts/format.ts";
import { deadLetters } from "../state/figures.ts";
import { type AdminSection, hrefOf } from "../state/router.ts";
import { session } from "../state/session.ts";
import { Attention } from "./admin/attention.tsx";
import { DeadLetters } from "./admin/dead-letters.tsx";
import { DeliverTwice } from "./admin/deliver-twice.tsx";
import { Outboxes } from "./admin/outboxes.tsx";
import { ProcessPanel } from "./admin/process-panel.tsx";
import { Stock } from "./admin/stock.tsx";
import { Topics } from "./admin/topics.tsx";
import { NoSupervisor } from "./frame.tsx";

/** The admin panel, one section at a time; without a supervisor, an admin's stock. */
export function AdminView({ section }: { section: AdminSection }) {
  if (hasSupervisor) return <AdminPanel section={section} />;
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

const tabs: readonly (readonly [section: AdminSection, href: string, text: string])[] = [
  ["overview", hrefOf.admin, "Overview"],
  ["stock", hrefOf.stock, "Stock"],
  ["dead-letters", hrefOf.deadLetters, "Dead letters"],
  ["topics", hrefOf.topics, "Topics"],
];

function AdminPanel({ section }: { section: AdminSection }) {
  return (
    <div class="admin">
      <header>
        <h1 tabIndex={-1}>Behind the counter</h1>
        <p class="lead">
          Stop something, order something, start it again: no order that was accepted is lost.
        </p>
      </header>
      <Attention />
      <nav class="tabs" aria-label="Behind the counter">
        <ul>
          {tabs.map(([name, href, text]) => (
            <li key={name}>
              <a href={href} aria-current={name === section ? "page" : undefined}>
                {text}
                {name === "dead-letters" && <span class="pill">{count(deadLetters.value)}</span>}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Section section={section} />
    </div>
  );
}

function Section({ section }: { section: AdminSection }) {
  switch (section) {
    case "overview":
      return (
        <>
          <ProcessPanel />
          <Outboxes />
          <DeliverTwice />
        </>
      );
    case "stock":
      return <Stock />;
    case "dead-letters":
      return <DeadLetters />;
    case "topics":
      return <Topics />;
    default:
      return section satisfies never;
  }
}
