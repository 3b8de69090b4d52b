import { runService } from "@distributed-messaging/service/run";
import { Elysia } from "elysia";
import { gatewayRoutes } from "./http.ts";
import { issuerOrigins } from "./page/issuer-origins.ts";
import { pageRoutes } from "./page/page.ts";
import { service } from "./service.ts";

await runService(service, ({ config, parts: { store, sessions }, messaging, verifier, log }) => {
  const { DEMO_SIGN_IN: demoSignIn, OUTBOX_LIMIT: outboxLimit, TRUSTED_PROXIES: trustedProxies } = config;
  const rateLimits = {
    orders: config.RATE_LIMIT_ORDERS,
    cancels: config.RATE_LIMIT_CANCELS,
    signIns: config.RATE_LIMIT_SIGN_INS,
  };
  const { NOTIFICATION_PORT: notificationPort, SUPERVISOR_PORT: supervisorPort } = config;
  const { AUTH_ISSUER: issuer, AUTH_CLIENT_ID: clientId } = config;
  const { AUTH_SCOPE: scope, AUTH_REQUEST_PARAMETERS: parameters } = config;
  const isClient = issuer !== undefined && clientId !== undefined;
  return new Elysia()
    .use(
      gatewayRoutes({
        ...{ store, sessions, verifier, messaging, log },
        ...{ demoSignIn, outboxLimit, rateLimits, trustedProxies, accept: config.ACCEPT },
      }),
    )
    .use(
      pageRoutes(
        {
          notificationPort,
          ...(supervisorPort === undefined ? {} : { supervisorPort }),
          demoSignIn,
          ...(isClient ? { oidc: { issuer, clientId, scope, parameters } } : {}),
        },
        isClient ? issuerOrigins(issuer) : undefined,
      ),
    );
});
