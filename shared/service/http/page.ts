import { createHash } from "node:crypto";

/*
 * Pages for people, made from the documents for programs. They have no script, and load nothing: the one style sheet is in
 * the page, and the content security policy names its hash.
 */

/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly Html[];

/** HTML from a template: whatever is no `Html` is text, and is escaped. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    strings.reduce((text, string, index) => `${text}${markup(parts[index - 1] ?? "")}${string}`),
  );
}

function markup(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(({ text }) => text).join("");
  return String(part)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** A part of a page that opens: an operation, a message. */
export interface Entry {
  readonly id: string;
  /** In capitals before the name: `GET`. */
  readonly badge: string;
  readonly name: string;
  readonly summary: string;
  readonly body: Html;
}

export interface Section {
  readonly title: string;
  readonly description: string;
  readonly entries: readonly Entry[];
}

interface Page {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  /** The address of the same as JSON. */
  readonly json: string;
  /** The other page of the same service. */
  readonly beside?: { readonly href: string; readonly name: string };
  readonly sections: readonly Section[];
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f1d;--soft:#565d59;--paper:#fbfaf6;--card:#fff;--line:#d9d5c9;--accent:#0b5d52}
@media(prefers-color-scheme:dark){:root{--ink:#e8e6df;--soft:#a9b0ab;--paper:#151a17;--card:#1d2420;--line:#39423c;--accent:#6fd0bf}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{margin:0;font-size:1.7rem;line-height:1.2}
h2{margin:2.2rem 0 .3rem;font-size:1.2rem}
h3{margin:1.2rem 0 .3rem;font-size:1rem}
p{margin:.4rem 0}
a{color:var(--accent)}
.soft{color:var(--soft)}
nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1rem;margin:1rem 0 0;padding:0;list-style:none}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:.5rem;background:var(--card)}
summary{display:flex;flex-wrap:wrap;gap:.2rem .7rem;align-items:baseline;padding:.6rem .8rem;cursor:pointer}
summary:hover{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.badge{min-width:4.2rem;color:var(--accent);font:700 .8rem/1.5 ui-monospace,monospace}
code,pre{font:.875rem/1.5 ui-monospace,monospace}
.body{padding:0 .8rem .8rem;border-top:1px solid var(--line)}
pre{margin:.3rem 0;padding:.6rem .8rem;border-radius:.4rem;background:var(--paper);white-space:pre-wrap}
dl{margin:.3rem 0}
dt{margin-top:.5rem}
dd{margin:0 0 0 1rem}
@media(min-width:40rem){dd{margin-left:2rem}}
`;

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The answer that is a page of `page`. */
export function htmlResponse(page: Html): Response {
  return new Response(page.text, {
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": POLICY },
  });
}

/** A whole page: a table of contents, and sections with entries that open. */
export function page({ title, version, description, json, beside, sections }: Page): Html {
  const shown = sections.filter(({ entries }) => entries.length > 0);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p class="soft">Version ${version} · <a href="${json}">as JSON</a>${
    beside === undefined ? "" : html` · <a href="${beside.href}">${beside.name}</a>`
  }</p>
${paragraphs(description)}
<nav aria-label="Contents"><ul>${shown.map((section) => html`<li><a href="#${anchor(section.title)}">${section.title}</a></li>`)}</ul></nav>
</header>
<main>
${shown.map(sectionHtml)}
</main>
</body>
</html>
`;
}

function sectionHtml({ title, description, entries }: Section): Html {
  return html`<section aria-labelledby="${anchor(title)}">
<h2 id="${anchor(title)}">${title}</h2>
${paragraphs(description)}
${entries.map(
  ({ id, badge, name, summary, body }) =>
    html`<details id="${id}"><summary><span class="badge">${badge}</span><code>${name}</code><span class="soft">${summary}</span></summary><div class="body">${body}</div></details>
`,
)}</section>
`;
}

/** Text with `code` in it, a paragraph for each part between empty lines. */
export function paragraphs(text: string): Html {
  const inline = (part: string) =>
    part.split("`").map((piece, index) => (index % 2 === 1 ? html`<code>${piece}</code>` : html`${piece}`));
  return html`${text.split("\n\n").map((part) => html`<p>${inline(part)}</p>`)}`;
}

/** A value as JSON in lines, under a heading. */
export function exampleHtml(value: unknown): Html {
  return value === undefined
    ? html``
    : html`<p class="soft">Example</p><pre>${JSON.stringify(value, null, 2)}</pre>`;
}

function anchor(title: string): string {
  return `section-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
}
