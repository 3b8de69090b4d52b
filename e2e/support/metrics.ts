import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** A metric as a service serves it, or as docs/metrics.md describes it. */
export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  /** Without `le`, and without `app`, which every series has. */
  readonly labels: readonly string[];
}

/** The metrics in a text of the Prometheus text format. */
export function familiesIn(text: string): MetricFamily[] {
  const helps = new Map(
    [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name = "", help = ""]) => [name, help]),
  );
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => {
    const series = text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{([^}]*)\\} `, "gm"));
    const labels = new Set<string>();
    for (const [, inside = ""] of series) {
      for (const [, label = ""] of inside.matchAll(/(?:^|,)(\w+)="/g)) labels.add(label);
    }
    labels.delete("le");
    labels.delete("app");
    return { name, type, help: helps.get(name) ?? "", labels: [...labels].sort() };
  });
}

/** The rows of the tables in docs/metrics.md. `of`: the services; undefined for all. */
export function documentedMetrics(): (MetricFamily & { readonly of: string | undefined })[] {
  const page = readFileSync(join(ROOT, "docs/metrics.md"), "utf8");
  const rows = [...page.matchAll(/^\| `\w+` +\| (?:gauge|counter|histogram) +\|.*\|$/gm)];
  return rows.map(([row]) => {
    const cells = row
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim());
    const [name = "", type = "", labels = ""] = cells;
    return {
      name: name.replaceAll("`", ""),
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = ""]) => label).sort(),
      help: cells.at(-1) ?? "",
      of: cells.length === 5 ? cells[3] : undefined,
    };
  });
}

/** Units and prefixes that https://prometheus.io/docs/practices/naming/ does not want. */
const OTHER_UNITS =
  /_(ms|millis|milliseconds|micros|minutes|hours|days|kb|mb|kilobytes|megabytes|percent|percentage)(_|$)/;

/** What is wrong with the name, the type or the description of a metric. */
export function namingFaults({ name, type, help, labels }: MetricFamily): string[] {
  const faults: string[] = [];
  const check = (isRight: boolean, fault: string) => void (isRight || faults.push(`${name} ${fault}`));
  check(/^[a-z]+(_[a-z0-9]+)+$/.test(name) || name === "dead_letters", "is not in snake case, with a prefix");
  check(
    (type === "counter") === name.endsWith("_total"),
    "ends with _total if, and only if, it is a counter",
  );
  check(!OTHER_UNITS.test(name), "has another unit than seconds or bytes");
  check(!/_(duration|age|lag)$/.test(name), "lacks its unit");
  check(!/_(count|sum|bucket)$/.test(name), "ends like a series of a histogram");
  check(help.length > 0, "has no description");
  check(
    labels.every((label) => /^[a-z]+(_[a-z]+)*$/.test(label)),
    "has a label that is not in snake case",
  );
  return faults;
}
