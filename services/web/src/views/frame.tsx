import { useEffect, useRef } from "preact/hooks";
import { hasSupervisor } from "../api/supervisor.ts";
import { count } from "../parts/format.ts";
import { Sign } from "../parts/pictures.tsx";
import { itemCount } from "../state/basket.ts";
import { type connection, shownConnection } from "../state/notifications.ts";
import { hrefOf, type Route } from "../state/router.ts";
import { session } from "../state/session.ts";
import { SignInMenu } from "./sign-in.tsx";

type Link = readonly [view: Route["view"], href: string, text: string];

const shopLinks: readonly Link[] = [
  ["shop", hrefOf.shop, "Shop"],
  ["orders", hrefOf.orders, "Orders"],
];
const adminLink: Link = ["admin", hrefOf.admin, "Behind the counter"];
const supervisorLinks: readonly Link[] = [
  adminLink,
  ["figures", hrefOf.figures, "Figures"],
  ["tour", hrefOf.tour, "Tour"],
];

function linksFor(isAdmin: boolean): readonly Link[] {
  if (hasSupervisor) return [...shopLinks, ...supervisorLinks];
  return isAdmin ? [...shopLinks, adminLink] : shopLinks;
}

export function Header({ view }: { view: Route["view"] }) {
  const links = linksFor(session.value?.role === "admin");
  const here = view === "order" ? "orders" : view;
  const list = useRef<HTMLUListElement>(null);
  // On a phone the links scroll horizontally: scrolls the current one into view.
  useEffect(() => {
    const current = links.findIndex(([name]) => name === here);
    const link = list.current?.children[current]?.getBoundingClientRect();
    const nav = list.current?.parentElement;
    if (link === undefined || nav === null || nav === undefined) return;
    // Not `scrollIntoView`, which would scroll the page as well.
    const { left, width } = nav.getBoundingClientRect();
    nav.scrollLeft += link.left + link.width / 2 - left - width / 2;
  }, [here, links.length]);
  return (
    <header class="top">
      <a class="brand" href={hrefOf.shop} aria-label="Still Open, to the shop">
        <Sign />
        <span aria-hidden="true">Still Open</span>
      </a>
      <nav aria-label="Main">
        <ul ref={list}>
          {links.map(([name, href, text]) => (
            <li key={name}>
              <a href={href} aria-current={name === here ? "page" : undefined}>
                {text}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div class="top-right">
        <a class="basket-link" href={hrefOf.basket} aria-current={view === "basket" ? "page" : undefined}>
          Basket <span class="pill">{count(itemCount.value)}</span>
        </a>
        <SignInMenu />
      </div>
    </header>
  );
}

const connectionTexts: Readonly<Record<typeof connection.value, string>> = {
  off: "Sign in to get news of your orders.",
  connecting: "Connecting to the news of your orders.",
  live: "News of your orders comes live.",
  polling: "News of your orders does not come live: this page asks the gateway instead.",
};

export function Footer() {
  return (
    <footer class="foot">
      <p class="connection" data-connection={shownConnection}>
        <span class="dot" aria-hidden="true" />
        {connectionTexts[shownConnection.value]}
      </p>
      <p>A demonstration: nothing is charged, nothing is shipped.</p>
    </footer>
  );
}

/** Replaces the views for operators where there is no supervisor. */
export function NoSupervisor({ title }: { title: string }) {
  return (
    <section class="column">
      <h1 tabIndex={-1}>{title}</h1>
      <p>
        This store runs without a supervisor, as it would in production: there is only the shop. Run{" "}
        <code>npm start</code> on your own machine to look behind the counter.
      </p>
    </section>
  );
}
