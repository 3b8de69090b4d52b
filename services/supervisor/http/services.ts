import { ServiceError } from "@distributed-messaging/service/errors";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";

const ANSWER_MS = 8_000;

/** What the page may ask of which service through here: its dead letters, and what the inventory has. */
const PATHS = /^\/dead-letters(\/[\w-]+){0,2}$/;
const INVENTORY_PATHS = /^\/stock\/[\w-]{1,64}$/;

/**
 * Hands requests on to the services, so that they need not open themselves to scripts of another origin. Who asks
 * is for the service to check: the token goes with the request.
 */
export function serviceRoutes(urlOf: (name: ServiceName) => string) {
  return new Elysia().all(
    "/services/:name/*",
    async ({ request, params, body }) => {
      const name = serviceNames.find((one) => one === params.name);
      const path = `/${params["*"]}`;
      if (name === undefined || !(PATHS.test(path) || (name === "inventory" && INVENTORY_PATHS.test(path)))) {
        throw new ServiceError("not-found", "not-found", "There is nothing at this path.");
      }
      return handOn(request, `${urlOf(name)}${path}${new URL(request.url).search}`, name, body ?? undefined);
    },
    {
      params: Type.Object({ name: Type.String({ maxLength: 64 }), "*": Type.String({ maxLength: 256 }) }),
      detail: { summary: "A service's dead letters, and the inventory's stock" },
    },
  );
}

async function handOn(request: Request, url: string, name: ServiceName, body: unknown): Promise<Response> {
  const authorization = request.headers.get("authorization");
  let response: Response;
  try {
    response = await fetch(url, {
      method: request.method,
      headers: {
        ...(authorization === null ? {} : { authorization }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS),
      keepalive: false,
      redirect: "error",
    });
  } catch {
    throw new ServiceError("unavailable", "service-silent", `The ${name} service gave no answer.`);
  }
  const type = response.headers.get("content-type");
  return new Response(response.body, {
    status: response.status,
    headers: type === null ? {} : { "content-type": type },
  });
}
