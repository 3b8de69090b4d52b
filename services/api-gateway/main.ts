import { runService } from "@distributed-messaging/service/run";
import { Elysia } from "elysia";
import { gatewayRoutes } from "./http.ts";
import { pageRoutes } from "./page/page.ts";
import { service } from "./service.ts";

await runService(service, ({ config, parts: { store, sessions }, messaging, verifier }) => {
  const { DEMO_SIGN_IN: demoSignIn, OUTBOX_LIMIT: outboxLimit } = config;
  const { NOTIFICATION_PORT: notificationPort, SUPERVISOR_PORT: supervisorPort } = config;
  return new Elysia()
    .use(gatewayRoutes({ store, sessions, verifier, messaging, demoSignIn, outboxLimit }))
    .use(
      pageRoutes({
        notificationPort,
        ...(supervisorPort === undefined ? {} : { supervisorPort }),
        demoSignIn,
      }),
    );
});
