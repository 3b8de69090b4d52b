import { tokenClaims } from "@distributed-messaging/contracts";
import type { Environment } from "@distributed-messaging/service/config";
import type { Role } from "@distributed-messaging/service/identity";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { notificationRoutes } from "../http.ts";
import { service } from "../service.ts";

/** A notification service in this process, with its routes. */
export async function startNotificationFixture(env: Environment = {}) {
  const fixture = await new ServiceFixture(service, {
    env,
    routes: ({ config, parts: { store, push }, verifier }) =>
      notificationRoutes({ store, push, verifier, config }),
  }).start();
  const tokenOf = (customerId: string, role?: Role) => fixture.token(tokenClaims, customerId, role);
  return { fixture, tokenOf };
}
export type NotificationFixture = Awaited<ReturnType<typeof startNotificationFixture>>;
