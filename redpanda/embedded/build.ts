/**
 * Writes what the package has beside its sources into `dist`: JavaScript for Node and for the command, and the types.
 * `bun pm pack` runs it. Each file is replaced at once, so that several may run at the same time.
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

const folder = import.meta.dir;
const dist = join(folder, "dist");
const modules = join(folder, "node_modules");
await mkdir(modules, { recursive: true });
// In a folder that nothing else looks into, on the file system of `dist`.
const fresh = await mkdtemp(join(modules, ".dist-"));
try {
  const { success, logs } = await Bun.build({
    entrypoints: [join(folder, "main.ts"), join(folder, "index.ts")],
    target: "node",
    outdir: fresh,
  });
  if (!success) throw new AggregateError(logs, "the bundle was not built");
  const compiler = join(folder, "../../node_modules/typescript/bin/tsc");
  const types = Bun.spawnSync([process.execPath, compiler, "-p", "tsconfig.build.json", "--outDir", fresh], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (!types.success) throw new Error("the types were not built");
  const built = await filesIn(fresh);
  for (const path of built) {
    await mkdir(dirname(join(dist, path)), { recursive: true });
    await rename(join(fresh, path), join(dist, path));
  }
  for (const path of await filesIn(dist)) if (!built.includes(path)) await rm(join(dist, path));
} finally {
  await rm(fresh, { recursive: true, force: true });
}

async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));
}
