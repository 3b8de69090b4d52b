import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { type PageSettings, pageHtml } from "./document.ts";

const SOURCE = join(import.meta.dir, "../../web/src");

const brotliAsync = promisify(brotliCompress);
const gzipAsync = promisify(gzip);

export type Encoding = "br" | "gzip" | "identity";

/** A file of the page in all its encodings. */
export interface PageFile {
  readonly contentType: string;
  /** A hash of the content, for strong ETags. */
  readonly hash: string;
  readonly bodies: Readonly<Record<Encoding, Uint8Array<ArrayBuffer>>>;
}

export interface Page {
  readonly html: PageFile;
  /** Scripts, styles and images by file name. A name contains the hash of its content, so the content never changes. */
  readonly assets: ReadonlyMap<string, PageFile>;
  /** The service worker. Browsers ask for it under one address for ever. */
  readonly worker: PageFile;
}

/**
 * Bundles the page: one script, one style sheet, one icon, the document and the service worker, minified and compressed.
 * Takes some tenths of a second, mostly on other threads.
 *
 * @throws AggregateError when the source has errors
 */
export async function bundlePage(settings: PageSettings): Promise<Page> {
  const { outputs } = await Bun.build({
    entrypoints: [join(SOURCE, "main.tsx"), join(SOURCE, "styles/main.css"), join(SOURCE, "icon.svg")],
    target: "browser",
    minify: true,
    define: {
      "process.env.NODE_ENV": '"production"',
      "process.env.WITH_ISSUER": JSON.stringify(String(settings.oidc !== undefined)),
    },
    loader: { ".svg": "file" },
    naming: { entry: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
  });
  const worker = await bundleWorker();
  const files = await Promise.all(
    outputs.filter(isServed).map(async (output) => {
      const content = new Uint8Array(await output.arrayBuffer());
      const name = output.path.replace(/^.*\//, "");
      return [name, await compress(content, contentTypeOf(name))] as const;
    }),
  );
  const assets = new Map(files);
  const pick = (extension: string) => [...assets.keys()].find((name) => name.endsWith(extension)) ?? "";
  const html = pageHtml(settings, { script: pick(".js"), style: pick(".css"), icon: pick(".svg") });
  return { html: await compress(new TextEncoder().encode(html), "text/html; charset=utf-8"), assets, worker };
}

async function bundleWorker(): Promise<PageFile> {
  const { outputs } = await Bun.build({
    entrypoints: [join(SOURCE, "service-worker.ts")],
    target: "browser",
    // Not every browser runs modules as service workers.
    format: "iife",
    minify: true,
  });
  const [script] = outputs;
  if (script === undefined) throw new Error("The service worker was not bundled.");
  return compress(new Uint8Array(await script.arrayBuffer()), SCRIPT_TYPE);
}

/** Bun emits a script for an image entry too, which the page does not use. */
function isServed({ path }: { path: string }): boolean {
  return !/icon-[^/]*\.js$/.test(path);
}

const SCRIPT_TYPE = "text/javascript; charset=utf-8";

const contentTypes: Readonly<Record<string, string>> = {
  js: SCRIPT_TYPE,
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

function contentTypeOf(name: string): string {
  return contentTypes[name.replace(/^.*\./, "")] ?? "application/octet-stream";
}

async function compress(content: Uint8Array<ArrayBuffer>, contentType: string): Promise<PageFile> {
  const [br, gz] = await Promise.all([
    brotliAsync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.byteLength } }),
    gzipAsync(content, { level: 9 }),
  ]);
  return {
    contentType,
    hash: Bun.hash(content).toString(36),
    bodies: { br: new Uint8Array(br), gzip: new Uint8Array(gz), identity: content },
  };
}
