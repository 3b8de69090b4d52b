import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { generateSigningKey, issueToken, type Role } from "@distributed-messaging/service/identity";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { notificationRoutes } from "../http.ts";
import { service } from "../service.ts";

/** A notification service in this process, with its routes, that has received a signing key. */
export async function startNotificationFixture() {
  const { keyId, publicJwk, privateJwk } = await generateSigningKey();
  const fixture = await new ServiceFixture(service, {
    routes: ({ parts: { store, push }, verifier }) => notificationRoutes(store, push, verifier),
  }).start();
  await fixture.handle(SigningKeyPublished, { keyId, publicKey: publicJwk });
  const tokenOf = (customerId: string, role: Role = "customer") =>
    issueToken(privateJwk, { ...tokenClaims, keyId, customerId, role, now: Date.now(), ttlS: 3600 });
  return { fixture, tokenOf };
}
export type NotificationFixture = Awaited<ReturnType<typeof startNotificationFixture>>;
