import type { ComponentChildren } from "preact";
import { logUrl, orderRecordsUrl, sourceUrl } from "../../api/supervisor.ts";
import { ActionButton } from "../../parts/action-button.tsx";
import { signInMode } from "../../settings.ts";
import { hrefOf } from "../../state/router.ts";
import { customerId as signedIn, signIn } from "../../state/session.ts";
import type { Source } from "../../tour/sources.ts";
import type { Evidence, ShownStep } from "../../tour/step.ts";

/** Of a step with many orders, so many are linked. */
const MAX_ORDERS = 3;

type OrderEvidence = Extract<Evidence, { kind: "order" }>;

/** Where to check that a step has happened, and why it did. All links open a new tab, because the tour ends with its view. */
export function StepEvidence({ step: { evidence, code, test } }: { step: ShownStep }) {
  const orders = evidence.filter((one): one is OrderEvidence => one.kind === "order");
  const customer = orders[0]?.customerId;
  return (
    <dl class="evidence" aria-label="Evidence">
      {orders.slice(0, MAX_ORDERS).map((order) => (
        <Entry key={order.orderId} name="Order">
          <NewTab href={hrefOf.order(order.orderId)}>timeline of {order.orderId}</NewTab>
          {order.hasMessages && (
            <>
              , <NewTab href={orderRecordsUrl(order)}>its messages</NewTab>
            </>
          )}
        </Entry>
      ))}
      {orders.length > MAX_ORDERS && (
        <Entry name="Orders">
          {orders.length - MAX_ORDERS} more in <NewTab href={hrefOf.orders}>your orders</NewTab>
        </Entry>
      )}
      {customer !== undefined && customer !== signedIn.value && signInMode === "demo" && (
        <Entry name="Customer">
          They are orders of {customer}.{" "}
          <ActionButton
            onAct={async () => {
              await signIn(customer);
              return undefined;
            }}
          >
            Sign in as {customer}
          </ActionButton>
        </Entry>
      )}
      {evidence.map(
        (one) =>
          one.kind === "log" && (
            <Entry key={`${one.process} ${one.line}`} name="Log">
              <code>{one.line}</code> <NewTab href={logUrl(one.process)}>log of {one.process}</NewTab>
            </Entry>
          ),
      )}
      <SourceEntry name="Code" source={code} text={breakable(code.path)} />
      <SourceEntry name="Test" source={test} text={`“${test.text}”`} />
    </dl>
  );
}

function Entry({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A path, which may go on in the next line after each folder. */
function breakable(path: string): ComponentChildren {
  return path.split("/").flatMap((part, index) => (index === 0 ? [part] : ["/", <wbr key={part} />, part]));
}

interface SourceEntryProps {
  readonly name: string;
  readonly source: Source;
  readonly text: ComponentChildren;
}

function SourceEntry({ name, source, text }: SourceEntryProps) {
  return (
    <Entry name={name}>
      <NewTab href={sourceUrl(source.path, source.text)}>{text}</NewTab>
    </Entry>
  );
}

function NewTab({ href, children }: { href: string; children: ComponentChildren }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {children}
      <span class="visually-hidden"> (opens a new tab)</span>
    </a>
  );
}
