import { readFileSync } from "node:fs";
import { platform } from "node:os";

/** What a process has used since its start, and the memory that it has. */
export interface Usage {
  /** User and system time of all threads. */
  readonly cpuMs: number;
  readonly memoryMb: number;
  /** The most that it ever had. */
  readonly peakMb: number;
}

/** proc(5): Linux shows CPU times in these units to every process, whatever the kernel's own are. */
const TICK_MS = 10;

/** Where figures of processes can be read: on Linux. */
export const canReadUsage = platform() === "linux";

/** @throws when there is no such process, or no /proc */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = fieldsOf(stat);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const megabytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    memoryMb: megabytes("VmRSS"),
    peakMb: megabytes("VmHWM"),
  };
}

/**
 * The same of a process that starts others, and of those together, also those that have ended. Memory that they share counts
 * for each of them.
 */
export function usageOfTree(pid: number): Usage {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  const all = children.filter((child) => child !== "").flatMap((child) => usageIfRunning(Number(child)));
  all.push(usageOf(pid));
  const ended = fieldsOf(readFileSync(`/proc/${pid}/stat`, "utf8"));
  const { cpuMs, ...memory } = sumOf(all);
  return { ...memory, cpuMs: cpuMs + (Number(ended[13]) + Number(ended[14])) * TICK_MS };
}

/** Of several processes. */
export function sumOf(all: readonly Usage[]): Usage {
  const sum = (of: (usage: Usage) => number) => all.reduce((total, usage) => total + of(usage), 0);
  return {
    cpuMs: sum(({ cpuMs }) => cpuMs),
    memoryMb: sum(({ memoryMb }) => memoryMb),
    peakMb: sum(({ peakMb }) => peakMb),
  };
}

/** Nothing of a process that has just ended: its parent has its time then. */
function usageIfRunning(pid: number): Usage[] {
  try {
    return [usageOf(pid)];
  } catch {
    return [];
  }
}

/** The fields of /proc/PID/stat from the third one on. */
function fieldsOf(stat: string): string[] {
  // The second field, the name in parentheses, may have spaces.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
