import type { Migration } from "@distributed-messaging/messaging";
import { copyRepository, editCopy, linkPackages } from "./repository-copy.ts";

/**
 * Makes a newer version of the store: a copy of what is in version control, with a further step of the order service's schema.
 *
 * @param root a folder that may not exist yet
 */
export function makeVersionWithStep(root: string, step: Migration): void {
  copyRepository(root);
  linkPackages(root);
  editCopy(root, "services/order/migrations/index.ts", "\n];", `\n  ${JSON.stringify(step)},\n];`);
}

/**
 * Makes a newer version of the store: a copy of what is in version control, with a second version of OrderPlaced, which the
 * order service sends, and a new column in its database.
 *
 * @param root a folder that may not exist yet
 */
export function makeNewerVersion(root: string): void {
  const sql = "ALTER TABLE orders ADD COLUMN channel TEXT NOT NULL DEFAULT 'web'";
  makeVersionWithStep(root, { name: "channels", additive: true, sql });
  const edit = (path: string, before: string, after: string) => editCopy(root, path, before, after);
  const data = "{ orderId: OrderId, customerId: CustomerId, items: lines(PricedLine), total: Money }";
  const definition = `  type: "store.order.placed.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object(
    ${data},
    closed,
  ),
`;
  const newerDefinition = definition
    .replace(".v1", ".v2")
    .replace("total: Money }", "total: Money, channel: Type.String() }");
  const upcast = `type: "store.order.placed.v1", data: Type.Object(${data}, closed), lift: (old) => ({ ...old, channel: "web" })`;
  edit("shared/contracts/orders.ts", definition, `${newerDefinition}  upcasts: [{ ${upcast} }],\n`);
  edit(
    "services/order/domain.ts",
    "emission(OrderPlaced, data)",
    'emission(OrderPlaced, { ...data, channel: "web" })',
  );
}
