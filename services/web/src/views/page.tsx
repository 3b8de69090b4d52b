import { useEffect, useRef } from "preact/hooks";
import { announcement } from "../state/announcer.ts";
import { type Route, route } from "../state/router.ts";
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
  tour: "Six promises",
  unknown: "Nothing here",
};

/** The frame, and the view of the current route. */
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
    // Screen readers and the keyboard continue at the start of the new view.
    window.scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [place]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <Header view={current.view} />
      <StoreMap view={current.view} />
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
    case "admin":
      return <AdminView />;
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
