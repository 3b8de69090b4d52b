import { operatorViews } from "./views/operators.ts";
import { orderViews } from "./views/orders.ts";
import { shopViews } from "./views/shop.ts";
import { tourViews } from "./views/tour.ts";

/** Every view and state of the page. Dead letters stay, so that the views without them come before. */
export const views = [...shopViews, ...orderViews, ...tourViews, ...operatorViews];

export type ViewName = (typeof views)[number]["name"];
