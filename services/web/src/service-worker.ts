/*
 * The service worker: opens the page where the gateway cannot. It keeps the document and the files that the document names,
 * which are the same for everybody, and nothing else. Every other request goes past it, those of the HTTP interface with
 * a customer's data among them: docs/decisions/0053-the-page-opens-without-the-gateway.md.
 */

/** The library of TypeScript for workers contradicts the one for documents, which the rest of the page has. */
interface ExtendableEvent {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
declare const self: {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
};

const SHELL = "shell";
const DOCUMENT = "/";
const ASSETS = "/assets/";
/** In the page's document, and in no other at this address: a proxy's notice, another program at the port. */
const MARK = 'name="store-settings"';
/** How long the gateway has for the document. After that the visitor gets the one that is kept. */
const WAIT_MS = 2_500;

self.addEventListener("install", (event) => event.waitUntil(install()));
// The page that installed it is served by it, too.
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== self.location.origin) return;
  if (mode === "navigate" && pathname === DOCUMENT) event.respondWith(openDocument(event));
  else if (pathname.startsWith(ASSETS)) event.respondWith(openAsset(event.request));
});

async function install(): Promise<void> {
  await keep(await fetch(DOCUMENT));
  // A later version of the worker does not wait until every tab is closed.
  await self.skipWaiting();
}

/** The gateway's document, which then is kept. The kept one when the gateway is down, slow or behind a proxy that says so. */
async function openDocument(event: FetchEvent): Promise<Response> {
  const loading = fetch(event.request).then((response) => ({ response, copy: response.clone() }));
  // Beyond the answer to the visitor: a slow document is the next one to be shown.
  event.waitUntil(loading.then(({ copy }) => keep(copy)).catch(() => {}));
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, WAIT_MS));
  const loaded = await Promise.race([loading.catch(() => undefined), late]);
  if (loaded !== undefined && loaded.response.status < 500) return loaded.response;
  return (await kept(DOCUMENT)) ?? (await loading).response;
}

/** Its name has the hash of its content, so the kept one is never out of date. */
async function openAsset(request: Request): Promise<Response> {
  return (await kept(request)) ?? fetch(request);
}

function kept(request: Request | string): Promise<Response | undefined> {
  return caches.match(request, { cacheName: SHELL, ignoreVary: true });
}

let keeping: Promise<void> = Promise.resolve();

/** Keeps a document and its files in place of those before. One after the other: each removes the files of the others. */
function keep(document: Response): Promise<void> {
  const done = keeping.then(() => replaceShell(document));
  keeping = done.catch(() => {});
  return done;
}

/** @throws when it is not the page's document, such as a proxy's notice, or when one of its files cannot be loaded */
async function replaceShell(document: Response): Promise<void> {
  const html = document.ok ? await document.clone().text() : "";
  const files = new Set(html.match(/\/assets\/[\w.-]+/g));
  if (files.size === 0 || !html.includes(MARK)) throw new Error("This is not the page.");
  const shell = await caches.open(SHELL);
  const before = await shell.keys();
  const known = new Set(before.map(({ url }) => new URL(url).pathname));
  await shell.addAll([...files].filter((file) => !known.has(file)));
  await shell.put(DOCUMENT, document);
  const unused = before.filter(
    ({ url }) => !files.has(new URL(url).pathname) && new URL(url).pathname !== DOCUMENT,
  );
  await Promise.all(unused.map((file) => shell.delete(file, { ignoreVary: true })));
}

export {};
