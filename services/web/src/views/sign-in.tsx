import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { messageOf, Unreachable } from "../api/request.ts";
import { plural } from "../parts/format.ts";
import { signInMode } from "../settings.ts";
import { waitingForSignIn } from "../state/checkout.ts";
import { expiredCustomer, goToIssuer, session, signIn, signInProblem, signOut } from "../state/session.ts";

const demoCustomers = ["CUSTOMER_001", "CUSTOMER_002", "CUSTOMER_003"] as const;
const ID_PATTERN = "[A-Za-z0-9_\\-]{1,64}";

/** The customer who is signed in, or the sign-in menu. */
export function SignInMenu() {
  const menu = useRef<HTMLDetailsElement>(null);
  const current = session.value;
  const signedOut = useRef(false);
  useEffect(() => closeFromOutside(menu), []);
  // The pressed button was replaced: its replacement gets the focus.
  useLayoutEffect(() => {
    if (signedOut.current)
      (menu.current?.querySelector("summary") ?? document.querySelector<HTMLElement>(".to-issuer"))?.focus();
    signedOut.current = false;
  }, [current]);
  if (current !== null) {
    return (
      <div class="who">
        <span class="visually-hidden">Signed in as </span>
        <span class="who-name" title={current.customerId}>
          {current.customerId}
        </span>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            signedOut.current = true;
            void signOut();
          }}
        >
          Sign out
        </button>
      </div>
    );
  }
  if (signInMode === "none") return null;
  if (signInMode === "oidc") return <IssuerButton />;
  return (
    <details class="menu" ref={menu}>
      <summary>Sign in</summary>
      <div class="menu-panel">
        <SignInForm id="menu" />
      </div>
    </details>
  );
}

function closeFromOutside(menu: { current: HTMLDetailsElement | null }) {
  const close = (event: Event) => {
    const inside = event.target instanceof Node && menu.current?.contains(event.target);
    const escaped = event instanceof KeyboardEvent && event.key === "Escape";
    if (menu.current?.open !== true || (event instanceof KeyboardEvent ? !escaped : inside)) return;
    menu.current.open = false;
    if (escaped) menu.current.querySelector("summary")?.focus();
  };
  const leave = ({ target, relatedTarget }: FocusEvent) => {
    const from = target instanceof Node && menu.current?.contains(target);
    const to = relatedTarget instanceof Node && !menu.current?.contains(relatedTarget);
    if (from && to && menu.current) menu.current.open = false;
  };
  const unmounted = new AbortController();
  document.addEventListener("pointerdown", close, unmounted);
  document.addEventListener("keydown", close, unmounted);
  document.addEventListener("focusout", leave, unmounted);
  return () => unmounted.abort();
}

/** Leads to the issuer, where visitors sign in. */
function IssuerButton({ label = "Sign in" }: { label?: string }) {
  const busy = useSignal(false);
  const leave = async () => {
    busy.value = true;
    signInProblem.value = null;
    try {
      await goToIssuer();
    } catch (error) {
      signInProblem.value = `Nobody can sign in just now. ${messageOf(error)}`;
    } finally {
      busy.value = false;
    }
  };
  return (
    <button type="button" class="to-issuer" disabled={busy} onClick={leave}>
      {label}
    </button>
  );
}

/** How to sign in, in the place of what needs a customer. @param id unique in the page */
export function SignInForm({ id }: { id: string }) {
  if (signInMode === "none") return <p class="hint">This store does not let visitors sign in from here.</p>;
  if (signInMode === "demo") return <DemoSignInForm id={id} />;
  return (
    <p>
      <IssuerButton label="Sign in to go on" />
    </p>
  );
}

/** The demo's sign-in: a choice of customers, or any name. */
function DemoSignInForm({ id }: { id: string }) {
  const error = useSignal<string | undefined>(undefined);
  const busy = useSignal(false);
  const form = useRef<HTMLFormElement>(null);
  const enter = async (customerId: string) => {
    busy.value = true;
    error.value = undefined;
    // The form is replaced after the sign-in; the surrounding element gets the focus.
    const next = form.current?.closest<HTMLElement>(".receipt") ?? document.querySelector<HTMLElement>("h1");
    try {
      await signIn(customerId);
      next?.focus({ preventScroll: true });
    } catch (reason) {
      error.value = wordsFor(reason);
    } finally {
      busy.value = false;
    }
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const name = new FormData(event.currentTarget).get("customerId");
    if (typeof name === "string") void enter(name.trim());
  };
  return (
    <form class="sign-in" ref={form} onSubmit={submit}>
      <fieldset disabled={busy}>
        <legend>Sign in as</legend>
        <div class="choices">
          {demoCustomers.map((name) => (
            <button type="button" key={name} onClick={() => enter(name)}>
              {name}
            </button>
          ))}
        </div>
        <label for={`${id}-customer`}>or as somebody else</label>
        <div class="row">
          <input
            id={`${id}-customer`}
            name="customerId"
            required
            pattern={ID_PATTERN}
            autocomplete="off"
            placeholder="ALEX_7"
            title="Letters, digits, _ and -, up to 64 of them"
          />
          <button type="submit">Sign in</button>
        </div>
      </fieldset>
      <p class="hint">Demo: no password needed.</p>
      {error.value !== undefined && <p role="alert">{error}</p>}
    </form>
  );
}

function wordsFor(reason: unknown): string {
  if (reason instanceof Unreachable) return "The store cannot be reached: sign in when it is back.";
  return messageOf(reason);
}

/** Shown after a session has expired, or while one cannot be begun or renewed, or with orders that wait for one. */
export function SignInNotice() {
  const customer = expiredCustomer.value;
  const waiting = waitingForSignIn.value;
  if (signInProblem.value !== null) {
    return (
      <section class="notice" role="alert">
        <p>{signInProblem}</p>
        {session.value === null && <IssuerButton label="Try again" />}
      </section>
    );
  }
  if (session.value !== null || (customer === null && waiting === 0)) return null;
  return (
    <section class="notice" role="alert">
      <p>
        {customer !== null && (
          <>
            The session of <strong>{customer}</strong> has ended. What was in the basket or on its way is
            kept.{" "}
          </>
        )}
        {waiting > 0 &&
          `${plural(waiting, "order is", "orders are")} kept in this browser until whoever placed ${waiting === 1 ? "it" : "them"} signs in.`}
      </p>
      {customer !== null && <SignInAgain customer={customer} />}
    </section>
  );
}

function SignInAgain({ customer }: { customer: string }) {
  const error = useSignal<string | undefined>(undefined);
  const enter = () =>
    signIn(customer).catch((reason: unknown) => {
      error.value = wordsFor(reason);
    });
  return (
    <div class="row wrap">
      {signInMode === "oidc" && <IssuerButton label="Sign in again" />}
      {signInMode === "demo" && (
        <button type="button" onClick={enter}>
          Sign in again as {customer}
        </button>
      )}
      <button type="button" class="quiet" onClick={() => void signOut()}>
        Forget this session
      </button>
      {error.value !== undefined && <p>{error}</p>}
    </div>
  );
}
