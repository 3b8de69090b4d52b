import { posix } from "node:path";
import { confined, isTestCode, type Layer, layers, serviceFiles } from "./layers.ts";

/** Files by their path from the root: TypeScript, and every `package.json`. */
type SourceTree = ReadonlyMap<string, string>;

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** A file's import of another one in the tree. */
interface Edge extends Import {
  readonly from: string;
  readonly to: string;
}

/** The specifiers that a file imports: static, dynamic, re-exported, types included. */
function importsOf(path: string, content: string): Import[] {
  // The transpiler does not parse the first line of a command.
  const text = content.replace(/^#!.*/, "");
  const transpiler = new Bun.Transpiler({ loader: path.endsWith("x") ? "tsx" : "ts" });
  const scan = (source: string) =>
    transpiler
      .scanImports(source)
      .map((one) => one.path)
      // It adds what React's JSX would import; the JSX here is Preact's.
      .filter((specifier) => !/^react(\/|$)/.test(specifier));
  // The transpiler leaves out the imports that TypeScript erases; without the keyword `type` it lists them too.
  const withTypes = text
    .replace(/^(import|export) type (?=[{*]|\w+(?:,| from\b))/gm, "$1 ")
    .replace(/^(?:import|export) (?:\w+, )?\{[^}]*\} from/gm, (head) => head.replace(/\btype (?=\w)/g, ""));
  const typePositions = [...text.matchAll(/\bimport\("([^"]+)"\)/g)].map(([, specifier = ""]) => specifier);
  const values = new Set(scan(text));
  const all = new Set([...values, ...scan(withTypes), ...typePositions]);
  return [...all].map((specifier) => ({ specifier, typeOnly: !values.has(specifier) }));
}

/** Everything that is wrong with the imports of a tree: one sentence each, sorted. */
export function findWrongImports(tree: SourceTree): string[] {
  const packages = readPackages(tree);
  const problems = new Set<string>();
  const edges: Edge[] = [];
  for (const [from, text] of tree) {
    if (from.endsWith(".json")) continue;
    for (const one of importsOf(from, text)) {
      const { target, problem } = resolve(tree, packages, from, one.specifier);
      if (problem !== undefined) problems.add(`${from} ${problem}`);
      if (target !== undefined) edges.push({ ...one, from, to: target });
    }
  }
  const found = [
    ...problems,
    ...edges.flatMap(wrongLayer),
    ...wrongOrderInServices(edges),
    ...cycles(edges),
    ...unusedDependencies(tree, packages),
  ];
  return found.sort();
}

interface Package {
  readonly folder: string;
  readonly name: string;
  /** The source of each export: what Bun takes. */
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: readonly string[];
  readonly devDependencies: readonly string[];
}

function readPackages(tree: SourceTree): Package[] {
  return [...tree]
    .filter(([path]) => path.endsWith("package.json"))
    .map(([path, text]) => {
      const { name, exports = {}, dependencies, peerDependencies, devDependencies } = JSON.parse(text);
      return {
        folder: path.slice(0, -"package.json".length),
        name,
        exports: Object.fromEntries(
          Object.entries<string | { readonly bun: string }>(exports).map(([subpath, target]) => [
            subpath,
            typeof target === "string" ? target : target.bun,
          ]),
        ),
        dependencies: Object.keys({ ...dependencies, ...peerDependencies }),
        devDependencies: Object.keys(devDependencies ?? {}),
      };
    })
    .sort((one, other) => other.folder.length - one.folder.length);
}

/** What a specifier leads to in the tree, and what is wrong with it. Neither for a package that is declared. */
function resolve(
  tree: SourceTree,
  packages: readonly Package[],
  from: string,
  specifier: string,
): { target?: string; problem?: string } {
  if (specifier.startsWith(".")) {
    const target = posix.join(posix.dirname(from), specifier);
    if (!tree.has(target)) return {};
    const [own, other] = [from, target].map((path) => packages.find(({ folder }) => path.startsWith(folder)));
    // Test fixtures are not exported. The registry names the folders beside it.
    if (own === other || isTestCode(from) || target.startsWith(own?.folder ?? "")) return { target };
    return { target, problem: `imports ${target} by its path: it is another package` };
  }
  const name = packageName(specifier);
  if (/^(bun|node):|^bun$/.test(specifier)) return {};
  const folders = confined[name];
  if (folders?.some((folder) => from.startsWith(folder)) === false && !isTestCode(from)) {
    return { problem: `imports ${name}: only ${folders.join(" and ")} may` };
  }
  const own = packages.find((one) => from.startsWith(one.folder));
  const imported = packages.find((one) => one.name === name);
  const target = imported && exportedFile(imported, specifier);
  if (imported !== undefined && (target === undefined || !tree.has(target))) {
    return { problem: `imports ${specifier}, which ${imported.folder}package.json does not export` };
  }
  const resolved = target === undefined ? {} : { target };
  if (own === undefined || own === imported) return resolved;
  const declared = [
    ...own.dependencies,
    ...(isTestCode(from) || own.folder === "" ? own.devDependencies : []),
    ...(isTestCode(from) ? (packages.find(({ folder }) => folder === "")?.devDependencies ?? []) : []),
  ];
  return declared.includes(name)
    ? resolved
    : { ...resolved, problem: `imports ${name}, which ${own.folder}package.json does not declare` };
}

function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function exportedFile({ folder, name, exports }: Package, specifier: string): string | undefined {
  const subpath = `.${specifier.slice(name.length)}`;
  const exact = exports[subpath];
  if (exact !== undefined) return posix.join(folder, exact);
  for (const [pattern, file] of Object.entries(exports)) {
    const [start = "", end] = pattern.split("*");
    if (end === undefined || !subpath.startsWith(start) || !subpath.endsWith(end)) continue;
    return posix.join(folder, file.replace("*", subpath.slice(start.length, subpath.length - end.length)));
  }
  return undefined;
}

/** The row of a file: the longest path that it lies under; `services/*` for a service without a row. */
function layerOf(path: string): { layer: Layer; part: string } | undefined {
  const [layer] = layers
    .filter((one) => path === one.path || path.startsWith(`${one.path}/`))
    .sort((one, other) => other.path.length - one.path.length);
  if (layer !== undefined) return { layer, part: layer.path };
  for (const wildcard of layers.filter((one) => one.path.endsWith("/*"))) {
    const parent = wildcard.path.slice(0, -1);
    const [child] = path.slice(parent.length).split("/");
    if (path.startsWith(parent)) return { layer: wildcard, part: `${parent}${child}` };
  }
  return undefined;
}

function wrongLayer({ from, to, typeOnly }: Edge): string[] {
  const [importer, imported] = [layerOf(from), layerOf(to)];
  if (importer === undefined) return [`${from} belongs to no layer`];
  if (imported === undefined) return [`${to} belongs to no layer`];
  if (importer.part === imported.part) return [];
  const { imports, types = [], tests = [] } = importer.layer;
  const isNamedIn = (row: readonly string[]) =>
    row.includes(imported.layer.path) || row.includes(imported.part) || row.includes(to);
  if (isNamedIn(imports) || (isTestCode(from) && isNamedIn(tests))) return [];
  if (isNamedIn(types)) {
    return typeOnly ? [] : [`${from} imports more than types from ${imported.part} (${to})`];
  }
  return [`${from} imports ${to}: ${importer.part} may not import ${imported.part}`];
}

/** Follows the imports within each service from each of its files that has a place, through files that have none. */
function wrongOrderInServices(edges: readonly Edge[]): string[] {
  const within = Map.groupBy(
    edges.filter(({ from, to }) => serviceOf(from) !== undefined && serviceOf(from) === serviceOf(to)),
    ({ from }) => from,
  );
  const wrong: string[] = [];
  for (const start of within.keys()) {
    const place = placeOf(start);
    if (place < 0 || isTestCode(start)) continue;
    const seen = new Set([start]);
    for (const file of seen) {
      for (const { to } of within.get(file) ?? []) {
        if (seen.has(to)) continue;
        if (placeOf(to) < 0) seen.add(to);
        else if (placeOf(to) < place)
          wrong.push(`${start} reaches ${to}${file === start ? "" : ` by ${file}`}`);
      }
    }
  }
  return wrong.map((line) => `${line}: the order is ${serviceFiles.join(", ")}`);
}

function serviceOf(path: string): string | undefined {
  const { layer, part } = layerOf(path) ?? {};
  return layer?.path === "services/*" ? part : undefined;
}

function placeOf(path: string): number {
  return serviceFiles.indexOf(path.slice((serviceOf(path)?.length ?? 0) + 1));
}

/** One line for each group of files that reach each other: the shortest cycle through its first file. */
function cycles(edges: readonly Edge[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  for (const start of [...next.keys()].sort()) {
    if (done.has(start)) continue;
    const cycle = shortestPath(start, start, next);
    if (cycle === undefined) continue;
    const group = [...next.keys()].filter(
      (file) =>
        shortestPath(start, file, next) !== undefined && shortestPath(file, start, next) !== undefined,
    );
    for (const file of group) done.add(file);
    found.push(`${cycle.join(" → ")}: a cycle, one of those among ${group.length} files`);
  }
  return found;
}

/** From a file to another one, both included; over at least one import, so that it finds the way back to itself. */
function shortestPath(
  start: string,
  end: string,
  next: ReadonlyMap<string, readonly string[]>,
): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (const file of queue) {
    for (const to of next.get(file) ?? []) {
      if (cameFrom.has(to)) continue;
      cameFrom.set(to, file);
      queue.push(to);
      if (to !== end) continue;
      const path = [end];
      do path.unshift(cameFrom.get(path[0] ?? "") ?? start);
      while (path[0] !== start);
      return path;
    }
  }
  return undefined;
}

/** What a `package.json` declares and no file of the package imports. */
function unusedDependencies(tree: SourceTree, packages: readonly Package[]): string[] {
  const used = new Map(packages.map(({ folder }) => [folder, new Set<string>()]));
  for (const [path, text] of tree) {
    const own = packages.find(({ folder }) => path.startsWith(folder));
    if (own === undefined || path.endsWith(".json")) continue;
    for (const { specifier } of importsOf(path, text)) used.get(own.folder)?.add(packageName(specifier));
  }
  return packages
    .filter(({ folder }) => folder !== "")
    .flatMap(({ folder, dependencies }) =>
      dependencies
        .filter((name) => !used.get(folder)?.has(name))
        .map((name) => `${folder}package.json declares ${name}, which no file of it imports`),
    );
}
