/** The settings of the page, which `services/web/src/settings.ts` reads. */
export interface PageSettings {
  /** The port of the notification service, on the host of the page. */
  readonly notificationPort: number;
  /** The port of the supervisor, if there is one; then the page has views for operators. */
  readonly supervisorPort?: number;
  /** Whether visitors can sign in under any name. */
  readonly demoSignIn: boolean;
  /** Where visitors sign in, if they do so at an OpenID Connect issuer. */
  readonly oidc?: OidcClient;
}

/** The page as a public client (RFC 6749 §2.1) of an OpenID Connect issuer. */
export interface OidcClient {
  readonly issuer: string;
  readonly clientId: string;
  /** Space separated. */
  readonly scope: string;
  /** Further parameters of its requests, form-encoded, such as `resource=…` (RFC 8707). */
  readonly parameters: string;
}

/** The names of the files in the document. */
interface PageFiles {
  readonly script: string;
  readonly style: string;
  readonly icon: string;
}

const DESCRIPTION =
  "An online store that stays open when its parts fail: order, break things, watch them recover.";

/** The document. The settings are an attribute, because the content security policy forbids inline scripts. */
export function pageHtml(settings: PageSettings, files: PageFiles): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#f4efe4" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#151a17" media="(prefers-color-scheme: dark)">
<meta name="description" content="${DESCRIPTION}">
<meta name="store-settings" content="${escapeAttribute(JSON.stringify(settings))}">
<title>Still Open</title>
<link rel="icon" href="/assets/${files.icon}" type="image/svg+xml">
<link rel="stylesheet" href="/assets/${files.style}">
<script type="module" src="/assets/${files.script}"></script>
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript. The store does not: see its HTTP interface at /openapi.</noscript>
</body>
</html>
`;
}

function escapeAttribute(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
