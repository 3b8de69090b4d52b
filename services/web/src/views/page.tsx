import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { announcements } from "../state/announcer.ts";
import { type AdminSection, type Route, route } from "../state/router.ts";
import { keepScroll, restoreScroll } from "../state/scroll-positions.ts";
import { AdminView } from "./admin.tsx";
import { BasketBar, BasketView } from "./basket.tsx";
import { FiguresView } from "./figures.tsx";
import { Footer, Header } from "./frame.tsx";
import { StoreMap } from "./map.tsx";
import { OrderView } from "./order.tsx";
import { OrdersView } from "./orders.tsx";
import { ShopView } from "./shop.tsx";
import { SignInNotice } from "./sign-in.tsx";
import { TourView } from "./tour.tsx";

const titles: Readonly<Record<Route["view"], string>> = {
  shop: "Shop",
  basket: "Basket",
  orders: "Your orders",
  order: "Order",
  admin: "Behind the counter",
  figures: "Live figures",
  tour: "The promises",
  unknown: "Nothing here",
};

const sectionTitles: Readonly<Record<AdminSection, string>> = {
  overview: titles.admin,
  stock: "Stock",
  "dead-letters": "Dead letters",
  topics: "Topics",
};

function titleOf(current: Route): string {
  return current.view === "admin" ? sectionTitles[current.section] : titles[current.view];
}

/** The frame, and the view of the current route. */
export function Page() {
  const current = route.value;
  const main = useRef<HTMLElement>(null);
  const shown = useRef<string | undefined>(undefined);
  const place = current.view === "order" ? current.orderId : current.view;
  const title = titleOf(current);
  useEffect(() => {
    document.title = `${title} · Still Open`;
  }, [title]);
  // Before it is painted.
  useLayoutEffect(() => {
    const before = shown.current;
    shown.current = place;
    if (before === place) return keepScroll();
    restoreScroll();
    if (before === undefined) return;
    // Screen readers and the keyboard continue at the start of the new view.
    main.current?.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [current]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <Header view={current.view} />
      {/* What is elsewhere in another view is another element: one that is moved would be a shift of the layout. */}
      <StoreMap key={current.view === "shop" ? "map of the shop" : "map"} view={current.view} />
      <main key={place} id="main" ref={main} tabIndex={-1}>
        <SignInNotice />
        <View route={current} />
      </main>
      <Footer key={`footer ${place}`} />
      {current.view === "shop" && <BasketBar />}
      <Announcements />
    </>
  );
}

/** Only what is added is read out, each text once. */
function Announcements() {
  return (
    <div class="visually-hidden" role="status" aria-atomic="false">
      {announcements.value.map(({ number, text }) => (
        <p key={number}>{text}</p>
      ))}
    </div>
  );
}

function View({ route: current }: { route: Route }) {
  switch (current.view) {
    case "shop":
      return <ShopView />;
    case "basket":
      return <BasketView />;
    case "orders":
      return <OrdersView />;
    case "order":
      return <OrderView key={current.orderId} orderId={current.orderId} />;
    case "admin":
      return <AdminView section={current.section} />;
    case "figures":
      return <FiguresView />;
    case "tour":
      return <TourView />;
    case "unknown":
      return (
        <section class="column">
          <h1 tabIndex={-1}>There is nothing at this address</h1>
          <p>
            <a href="#/">Back to the shop</a>
          </p>
        </section>
      );
    default:
      return current satisfies never;
  }
}
