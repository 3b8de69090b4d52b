import { useSignal } from "@preact/signals";
import { hasSupervisor } from "../api/supervisor.ts";
import { Chart } from "../parts/chart.tsx";
import { count, duration, plural } from "../parts/format.ts";
import { StatusBadge } from "../parts/order-status.tsx";
import { load, loadError, placeMany } from "../state/load.ts";
import { orders } from "../state/orders.ts";
import { hrefOf } from "../state/router.ts";
import { token } from "../state/session.ts";
import { throughput } from "../state/throughput.ts";
import { NoSupervisor } from "./frame.tsx";
import { SignInForm } from "./sign-in.tsx";

/** Charts of the throughput and the backlog, and a load generator. Only with a supervisor: not for production. */
export function FiguresView() {
  return hasSupervisor ? <Figures /> : <NoSupervisor title="Live figures" />;
}

function Figures() {
  return (
    <div class="figures">
      <header>
        <h1 tabIndex={-1}>Live figures</h1>
        <p class="lead">
          Orders of this page, from the click to the news that they are confirmed; and what waits in the store
          meanwhile.
        </p>
      </header>
      <LoadPanel />
      <div class="charts">
        <OrderCharts />
        <BacklogCharts />
      </div>
      <Latest />
    </div>
  );
}

/** Places 1, 50 or 500 orders. */
function LoadPanel() {
  const restockFirst = useSignal(true);
  const running = load.value;
  if (token.value === undefined) {
    return (
      <section class="panel" aria-label="Place many orders">
        <p>Sign in to place orders by the hundred.</p>
        <SignInForm id="figures" />
      </section>
    );
  }
  return (
    <section class="panel load" aria-label="Place many orders">
      <div class="row wrap">
        {[1, 50, 500].map((size) => (
          <button
            type="button"
            key={size}
            class="primary"
            disabled={running !== undefined}
            onClick={() => void placeMany(size, restockFirst.peek())}
          >
            Place {plural(size, "order")}
          </button>
        ))}
        <label class="check">
          <input
            type="checkbox"
            checked={restockFirst}
            onChange={({ currentTarget }) => {
              restockFirst.value = currentTarget.checked;
            }}
          />{" "}
          Restock for them first
        </label>
      </div>
      <progress
        style={{ visibility: running === undefined ? "hidden" : "visible" }}
        value={running?.placed ?? 0}
        max={running?.of ?? 1}
        aria-label="Orders placed"
      />
      <p class="hint" data-load={running === undefined ? "idle" : "running"}>
        {running === undefined
          ? "Each is an order of one thing."
          : `${count(running.placed)} of ${count(running.of)} placed.`}
      </p>
      {loadError.value !== undefined && <p role="alert">{loadError}</p>}
    </section>
  );
}

function OrderCharts() {
  const { seconds, accepted, confirmed, p50Ms, p99Ms } = throughput.value;
  const outages = seconds.map(({ outage }) => outage);
  return (
    <>
      <Chart
        title="Orders a second"
        outages={outages}
        least={10}
        write={count}
        series={[
          { name: "accepted", tone: "copper", values: seconds.map((second) => second.accepted) },
          { name: "confirmed", tone: "green", values: seconds.map((second) => second.confirmed) },
        ]}
      />
      <Chart
        title="Time to confirmation, so far"
        outages={outages}
        least={100}
        unknown="–"
        write={duration}
        series={[
          {
            name: "median (p50)",
            tone: "green",
            values: seconds.map((second) => second.p50Ms ?? null),
          },
          { name: "p99", tone: "copper", values: seconds.map((second) => second.p99Ms ?? null) },
        ]}
      />
      <p class="visually-hidden" data-totals>
        {plural(accepted, "order")} accepted, {count(confirmed)} confirmed
        {p50Ms !== undefined && p99Ms !== undefined && `, median ${duration(p50Ms)}, p99 ${duration(p99Ms)}`}
      </p>
    </>
  );
}

function BacklogCharts() {
  const { seconds } = throughput.value;
  const outages = seconds.map(({ outage }) => outage);
  const age = seconds.map(({ oldestAgeS }) => (oldestAgeS === null ? null : oldestAgeS * 1000));
  return (
    <>
      <Chart
        title="Oldest message in an outbox"
        outages={outages}
        least={1000}
        write={duration}
        series={[{ name: "has waited", tone: "copper", values: age }]}
      />
      <Chart
        title="Unread messages"
        outages={outages}
        least={10}
        write={count}
        series={[{ name: "all groups", tone: "green", values: seconds.map(({ lag }) => lag) }]}
      />
    </>
  );
}

/** The newest orders. */
function Latest() {
  if (token.value === undefined) return null;
  return (
    <section class="panel" aria-labelledby="latest-title">
      <h2 id="latest-title">
        The latest of <a href={hrefOf.orders}>your orders</a>
      </h2>
      <ul class="latest latest-wide">
        {orders.value.length === 0 && <li class="empty">They are listed here once you have some.</li>}
        {orders.value.slice(0, 8).map(({ orderId, status }) => (
          <li key={orderId}>
            <a class="order-id" href={hrefOf.order(orderId)}>
              {orderId}
            </a>
            <StatusBadge status={status} />
          </li>
        ))}
      </ul>
    </section>
  );
}
