import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/*
 * The software bill of materials of the store: its own packages and what they need at run time, from
 * bun.lock and the manifests of the installed packages. The same tree gives the same bill, on the same platform.
 */

/** `required`: what the services, the kit and the supervisor run with. `excluded`: what only tests and scripts use. */
export type Scope = "required" | "excluded";

export interface Component {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly licence: string;
  readonly scope: Scope;
  /** Of the project itself. */
  readonly own: boolean;
  /** In hexadecimal; of what was downloaded. */
  readonly sha512?: string;
  /** The components that it depends on, by `name@version`. */
  readonly dependencies: readonly string[];
}

const Names = Type.Optional(Type.Record(Type.String(), Type.String()));
const Dependencies = Type.Object({
  dependencies: Names,
  peerDependencies: Names,
  optionalDependencies: Names,
  optionalPeers: Type.Optional(Type.Array(Type.String())),
});
/** bun.lock, version 2: workspaces by folder, packages by their place in node_modules. */
const Lock = Type.Object({
  workspaces: Type.Record(
    Type.String(),
    Type.Intersect([Dependencies, Type.Object({ name: Type.String() })]),
  ),
  packages: Type.Record(Type.String(), Type.Array(Type.Unknown(), { minItems: 1 })),
});
const Manifest = Type.Object({ name: Type.String(), version: Type.String(), license: Type.String() });

/** Only these workspaces are for tests and for work on the project. */
const TOOLS: readonly string[] = ["e2e", "scripts"];

/** @param root of the repository, with its dependencies installed @throws when a package has no licence or no version */
export function billOf(root: string): Component[] {
  const lock = parse(Lock, Bun.JSONC.parse(readFileSync(join(root, "bun.lock"), "utf8")), "bun.lock");
  const packages = new Map(Object.entries(lock.packages));
  const workspaces = Object.entries(lock.workspaces).filter(([folder]) => folder !== "");
  const components = new Map<string, Component>();

  /** Adds what is at a place of node_modules, and what it depends on. @returns its `name@version` */
  const add = (place: string, folder: string, scope: Scope): string => {
    const [id, , needs = {}, integrity] = packages.get(place) ?? [];
    const workspace = /@workspace:(.*)$/.exec(String(id))?.[1];
    const own = workspace !== undefined;
    const path = own ? workspace : folder;
    const { name, version, license } = parse(Manifest, JSON.parse(manifest(root, path)), path);
    const ref = `${name}@${version}`;
    if (components.has(ref)) return ref;
    const hash = /^sha512-(.*)$/.exec(String(integrity))?.[1];
    const component = {
      ...{ name, version, licence: license, scope, own },
      ...(hash === undefined ? {} : { sha512: Buffer.from(hash, "base64").toString("hex") }),
    };
    // Before what it depends on, which may depend on it.
    components.set(ref, { ...component, dependencies: [] });
    const { required, optional } = namesIn(
      own ? lock.workspaces[workspace] : parse(Dependencies, needs, place),
    );
    const dependencies = [...required, ...optional].flatMap((dependency) => {
      const nested = placeOf(dependency, place, packages);
      const where = folderOf(nested, dependency, folder);
      // One for another platform, or one that nothing has asked for.
      if (!required.includes(dependency) && !existsSync(join(root, where))) return [];
      return [add(nested, where, scope)];
    });
    components.set(ref, { ...component, dependencies: [...new Set(dependencies)].sort() });
    return ref;
  };

  const byScope = (scope: Scope) =>
    workspaces.filter(([folder]) => TOOLS.includes(folder) === (scope === "excluded"));
  for (const scope of ["required", "excluded"] as const) {
    for (const [, { name }] of byScope(scope)) add(name, "", scope);
  }
  return [...components.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function namesIn(needs: Static<typeof Dependencies> = {}) {
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {}, optionalPeers = [] } = needs;
  const optional = [...Object.keys(optionalDependencies), ...optionalPeers];
  const required = Object.keys({ ...dependencies, ...peerDependencies });
  return { required: required.filter((name) => !optional.includes(name)), optional };
}

/** Where a package finds another one: in its own node_modules, or in those of a package around it. */
function placeOf(name: string, from: string, packages: ReadonlyMap<string, readonly unknown[]>): string {
  const nested = [...packages]
    .filter(([place, [id]]) => place.endsWith(`/${name}`) && String(id).startsWith(`${name}@`))
    .map(([place]) => place)
    .filter((place) => `${from}/`.startsWith(place.slice(0, -name.length)))
    .sort((one, other) => other.length - one.length);
  return nested[0] ?? name;
}

function folderOf(place: string, name: string, around: string): string {
  return place === name ? `node_modules/${name}` : `${around}/node_modules/${name}`;
}

function manifest(root: string, folder: string): string {
  return readFileSync(join(root, folder, "package.json"), "utf8");
}

function parse<Schema extends TSchema>(schema: Schema, value: unknown, what: string): Static<Schema> {
  if (Value.Check(schema, value)) return value;
  const fault = Value.Errors(schema, value).First();
  throw new Error(`${what}${fault?.path ?? ""}: ${fault?.message ?? "is not as expected"}`);
}

/** The bill as a CycloneDX 1.6 document (ECMA-424), without a time or a serial number. */
export function cycloneDx(root: string): object {
  const { name, version, license } = parse(Manifest, JSON.parse(manifest(root, "")), "package.json");
  const components = billOf(root);
  const refs = components.map((component) => refOf(component));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        ...{ type: "application", "bom-ref": `${name}@${version}`, name, version },
        licenses: [{ expression: license }],
      },
    },
    components: components.map((component) => ({
      type: "library",
      "bom-ref": refOf(component),
      name: component.name,
      version: component.version,
      scope: component.scope,
      ...(component.sha512 === undefined ? {} : { hashes: [{ alg: "SHA-512", content: component.sha512 }] }),
      licenses: [{ expression: component.licence }],
      purl: `pkg:npm/${component.name.replace("@", "%40")}@${component.version}`,
    })),
    dependencies: [
      { ref: `${name}@${version}`, dependsOn: refs.filter((_, index) => components[index]?.own) },
      ...components.map((component) => ({ ref: refOf(component), dependsOn: component.dependencies })),
    ],
  };
}

function refOf({ name, version }: Component): string {
  return `${name}@${version}`;
}
