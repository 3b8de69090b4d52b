import { exampleHtml, type Html, html, page, paragraphs } from "./page.ts";
import { shapeOf } from "./shape.ts";

interface Content {
  readonly schema?: unknown;
  readonly example?: unknown;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: unknown;
}

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, Content>> }>
  >;
}

/** The members that our documents have. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: {
    readonly title: string;
    readonly version: string;
    readonly description: string;
    readonly license?: object;
  };
  readonly servers: readonly object[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, unknown>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

/** A document as a page. @param hasMessages whether the same server has a page about its messages */
export function openApiPage({ info, tags, paths, components }: OpenApiDocument, hasMessages: boolean): Html {
  const resolve = (reference: string) => components.schemas[reference.split("/").at(-1) ?? ""];
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method,
      operation,
      entry: {
        id: operation.operationId ?? `${method}${path}`,
        badge: method.toUpperCase(),
        name: path,
        summary: operation.summary ?? "",
        body: operationHtml(operation, resolve),
      },
    })),
  );
  const entriesOf = (name: string | undefined) =>
    operations.filter(({ operation }) => operation.tags?.[0] === name).map(({ entry }) => entry);
  return page({
    title: `HTTP interface of ${info.title}`,
    version: info.version,
    description: info.description,
    json: "/openapi/json",
    ...(hasMessages ? { beside: { href: "/asyncapi", name: "its messages" } } : {}),
    sections: [
      ...tags.map(({ name, description }) => ({ title: name, description, entries: entriesOf(name) })),
      { title: "others", description: "", entries: entriesOf(undefined) },
    ],
  });
}

type Resolve = (reference: string) => unknown;

function operationHtml(
  { description = "", parameters = [], requestBody, responses }: Operation,
  resolve: Resolve,
): Html {
  return html`${paragraphs(description)}${parameters.length === 0 ? html`` : parametersHtml(parameters, resolve)}${
    requestBody === undefined
      ? html``
      : html`<h3>Body${requestBody.required ? "" : ", may be left out"}</h3>${contentHtml(requestBody.content, resolve)}`
  }<h3>Answers</h3>
${Object.entries(responses)
  .filter(([status]) => Number(status) < 400)
  .map(
    ([status, response]) =>
      html`<p><code>${status}</code> ${response.description}</p>${contentHtml(response.content ?? {}, resolve)}`,
  )}<h3>Problems</h3>
<dl>${Object.entries(responses)
    .filter(([status]) => Number(status) >= 400)
    .map(
      ([status, response]) =>
        html`<dt><code>${status}</code> ${response.description}</dt><dd class="soft">${detailOf(response.content)}</dd>`,
    )}</dl>`;
}

function parametersHtml(parameters: readonly Parameter[], resolve: Resolve): Html {
  return html`<h3>Parameters</h3><dl>${parameters.map(
    ({ name, in: place, required, description = "", schema }) =>
      html`<dt><code>${name}</code> <span class="soft">in the ${place}${required ? "" : ", may be left out"}</span></dt><dd><code>${shapeOf(schema, resolve)}</code> ${description}</dd>`,
  )}</dl>`;
}

function contentHtml(content: Readonly<Record<string, Content>>, resolve: Resolve): Html {
  return html`${Object.entries(content).map(
    ([type, { schema, example }]) =>
      html`<p class="soft">${type}</p><pre>${shapeOf(schema, resolve)}</pre>${exampleHtml(example)}`,
  )}`;
}

/** Of a problem, as its example has it; an answer like that of readiness is none. */
function detailOf(content: Readonly<Record<string, Content>> = {}): string {
  const example = content["application/problem+json"]?.example;
  return example === undefined ? Object.keys(content).join(", ") : `${Object(example).detail}`;
}
