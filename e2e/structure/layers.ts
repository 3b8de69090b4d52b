/** A part of the repository, and the parts that its files may import. */
export interface Layer {
  /** A folder or a file, from the root. `services/*` stands for each folder there that has no row of its own. */
  readonly path: string;
  /** Also single files of parts that it may not import otherwise. */
  readonly imports: readonly string[];
  /** Parts of which it may import types only. */
  readonly types?: readonly string[];
  /** Parts that its tests may import, too. */
  readonly tests?: readonly string[];
}

const shared = ["shared/contracts", "shared/service", "shared/messaging"];
const store = [
  "services/access-rights.ts",
  "services/registry.ts",
  "services/*",
  "redpanda",
  "redpanda/embedded",
  ...shared,
];

/** Top to bottom: a row names rows below it only. CONTRIBUTING.md shows this table, and layers.test.ts enforces it. */
export const layers: readonly Layer[] = [
  { path: "scripts", imports: ["e2e", "services/supervisor", ...store] },
  { path: "e2e", imports: ["services/supervisor", ...store] },
  {
    path: "services/web",
    imports: ["shared/contracts", "shared/messaging/visible-text.ts"],
    types: ["services/supervisor", "services/*"],
  },
  {
    path: "services/supervisor",
    imports: ["services/registry.ts", "redpanda", ...shared],
    tests: ["redpanda/embedded"],
  },
  { path: "services/access-rights.ts", imports: ["services/registry.ts", ...shared] },
  { path: "services/registry.ts", imports: ["services/*", ...shared] },
  { path: "services/*", imports: shared },
  { path: "shared/contracts", imports: ["shared/messaging"] },
  { path: "shared/service", imports: ["shared/messaging"] },
  { path: "redpanda", imports: ["shared/messaging"], tests: ["redpanda/embedded"] },
  { path: "redpanda/embedded", imports: [] },
  { path: "shared/messaging", imports: [] },
];

/** The files of a service that have a place in it, left to right: each reaches only those to its right. */
export const serviceFiles = ["main.ts", "http.ts", "service.ts", "handlers.ts", "store.ts", "domain.ts"];

/** npm packages that only these folders may import, outside of tests. */
export const confined: Readonly<Record<string, readonly string[]>> = {
  kafkajs: ["shared/messaging/transport/kafka/", "scripts/bench/floor/"],
};

/** Files that run only in tests: what they import does not have to be installed with the package. */
export function isTestCode(path: string): boolean {
  return /^e2e\/|\.test\.tsx?$|\/(testing|conformance)\/|\/testing\.ts$|-fixture\.ts$/.test(path);
}

/** The table as CONTRIBUTING.md shows it. */
export function drawing(): string {
  const width = Math.max(...layers.map(({ path }) => path.length));
  return layers
    .map(({ path, imports, types = [], tests = [] }) => {
      const all = [
        imports.join(", ").replace(shared.join(", "), "shared/*") || "nothing of the others",
        ...types.map((one) => `types of ${one}`),
        ...tests.map((one) => `in tests ${one}`),
      ];
      return `${path.padEnd(width)} → ${all.join(", ")}`;
    })
    .join("\n");
}
