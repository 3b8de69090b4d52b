import { render } from "preact";
import { registerWorker } from "./register-worker.ts";
import { resetAnnouncements } from "./state/announcer.ts";
import { resumeSending } from "./state/checkout.ts";
import { followFigures } from "./state/figures.ts";
import { followNotifications } from "./state/notifications.ts";
import { resetOrders } from "./state/orders.ts";
import { followProcesses } from "./state/processes.ts";
import { followProducts } from "./state/products.ts";
import { followScrolling } from "./state/scroll-positions.ts";
import { completeSignIn } from "./state/session.ts";
import { measureThroughput } from "./state/throughput.ts";
import { followTraffic } from "./state/traffic.ts";
import { undoLeftOver } from "./tour/undo.ts";
import { Page } from "./views/page.tsx";

// Who signs in at an issuer may have left a tour.
void completeSignIn().then(undoLeftOver);
resetOrders();
resetAnnouncements();
resumeSending();
followProducts();
followNotifications();
followProcesses();
followFigures();
followTraffic();
followScrolling();
measureThroughput();
registerWorker();

const root = document.getElementById("page");
if (root !== null) render(<Page />, root);
