import { ServiceFixture } from "@distributed-messaging/service/testing";
import { service } from "../service.ts";

export const BACKORDER_TTL_MS = 60_000;

/** An order service in this process. */
export const startOrderFixture = () =>
  new ServiceFixture(service, { env: { BACKORDER_TTL: `${BACKORDER_TTL_MS}ms` } }).start();
export type OrderFixture = Awaited<ReturnType<typeof startOrderFixture>>;
