import type { AsyncApiDocument } from "@distributed-messaging/messaging/asyncapi";
import { Elysia } from "elysia";
import { exampleOf } from "./examples.ts";
import { exampleHtml, type Html, html, htmlResponse, page, paragraphs } from "./page.ts";
import { shapeOf } from "./shape.ts";

/** An AsyncAPI document, as JSON at `/asyncapi/json` and as a page at `/asyncapi`. */
export function asyncApiRoutes(document: AsyncApiDocument) {
  return new Elysia({ name: "asyncapi" })
    .get("/asyncapi/json", () => document, { detail: { hide: true } })
    .get("/asyncapi", () => htmlResponse(asyncApiPage(document)), { detail: { hide: true } });
}

/** The document as a page: each topic with what the service sends and receives on it. */
function asyncApiPage({ info, channels, operations, components }: AsyncApiDocument): Html {
  const operationsOn = (channel: string) =>
    Object.entries(operations).filter(
      ([
        ,
        {
          channel: { $ref },
        },
      ]) => $ref === `#/channels/${channel}`,
    );
  const entry = (operation: string, action: string, { $ref }: { readonly $ref: string }) => {
    const name = lastOf($ref);
    const message = components.messages[name];
    return {
      id: `${operation}-${name}`,
      badge: action.toUpperCase(),
      name,
      summary: message?.summary ?? "",
      body: messageHtml(name, components),
    };
  };
  return page({
    title: info.title,
    version: info.version,
    description: info.description,
    json: "/asyncapi/json",
    beside: { href: "/openapi", name: "its HTTP interface" },
    sections: Object.entries(channels).map(([name, { address, description }]) => ({
      title: address,
      description,
      entries: operationsOn(name).flatMap(([operation, { action, messages }]) =>
        messages.map((message) => entry(operation, action, message)),
      ),
    })),
  });
}

function messageHtml(name: string, { messages, schemas }: AsyncApiDocument["components"]): Html {
  const resolve = (reference: string) => schemas[lastOf(reference)];
  const data = schemas[name];
  const { contentType = "" } = messages[name] ?? {};
  if (data === undefined) return html`<p class="soft">${contentType}</p>`;
  return html`${paragraphs(`The \`data\` of an envelope in \`${contentType}\`:`)}<pre>${shapeOf(data, resolve)}</pre>${exampleHtml(exampleOf(data))}`;
}

function lastOf(reference: string): string {
  return reference.split("/").at(-1) ?? "";
}
