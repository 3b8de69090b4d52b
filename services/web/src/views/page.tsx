import { useEffect, useRef } from "preact/hooks";
import { announcement } from "../state/announcer.ts";
import { type Route, route } from "../state/router.ts";
import { BasketBar, BasketView } from "./basket.tsx";
import { CounterView } from "./counter.tsx";
import { FiguresView } from "./figures.tsx";
import { Footer, Header } from "./frame.tsx";
import { Lamps } from "./lamps.tsx";
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
  counter: "Behind the counter",
  figures: "Live figures",
  tour: "Six promises",
  nowhere: "Nothing here",
};

/** The whole page: what stays, and the view that the address names. */
export function Page() {
  const current = route.value;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const place = current.view === "order" ? current.orderId : current.view;
  useEffect(() => {
    document.title = `${titles[current.view]} · Still Open`;
    if (first.current) {
      first.current = false;
      return;
    }
    // Who listens or tabs goes on at the new view, not where the old one was left.
    window.scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [place]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <Header view={current.view} />
      <Lamps />
      <main id="main" ref={main} tabIndex={-1}>
        <SignInNotice />
        <View route={current} />
      </main>
      <Footer />
      {current.view === "shop" && <BasketBar />}
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement}
      </div>
    </>
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
    case "counter":
      return <CounterView />;
    case "figures":
      return <FiguresView />;
    case "tour":
      return <TourView />;
    case "nowhere":
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
