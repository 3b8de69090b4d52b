import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

const FOLDER = "deploy/observe/dashboards";

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: Place;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** The Grafana dashboards, by their file names. */
export function readDashboards(): Map<string, Dashboard> {
  const files = readdirSync(join(ROOT, FOLDER)).sort();
  return new Map(
    files.map((file) => [file, JSON.parse(readFileSync(join(ROOT, FOLDER, file), "utf8")) as Dashboard]),
  );
}

/** A query of a panel. */
export interface Query {
  readonly panel: string;
  /** With what Grafana puts in place of its variables. */
  readonly expr: string;
}

/** The queries of a dashboard. @param range in place of Grafana's interval for rates */
export function queriesOf({ panels }: Dashboard, range = "5m"): Query[] {
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      panel: title,
      expr: expr.replaceAll("$__rate_interval", range).replaceAll("$app", ".*"),
    })),
  );
}

const WORDS = new Set([
  "by",
  "without",
  "on",
  "ignoring",
  "group_left",
  "group_right",
  "or",
  "and",
  "unless",
  "offset",
  "bool",
]);

/** The names of the metrics in an expression of PromQL. */
export function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/\{[^}]*\}|\[[^\]]*\]|"[^"]*"/g, " ")
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ");
  const names = [...bare.matchAll(/\b([a-zA-Z_]\w*)\b(?!\s*\()/g)].map(([, name = ""]) => name);
  return [...new Set(names)].filter((name) => !WORDS.has(name));
}
