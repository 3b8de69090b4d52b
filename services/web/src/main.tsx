import { render } from "preact";
import { resumeSending } from "./state/checkout.ts";
import { followNews } from "./state/feed.ts";
import { keepTime } from "./state/meter.ts";
import { resetOrders } from "./state/orders.ts";
import { followProcesses } from "./state/processes.ts";
import { followProducts } from "./state/products.ts";
import { Page } from "./views/page.tsx";

resetOrders();
resumeSending();
followProducts();
followNews();
followProcesses();
keepTime();

const root = document.getElementById("page");
if (root !== null) render(<Page />, root);
