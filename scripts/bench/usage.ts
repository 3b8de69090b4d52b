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
  // The second field, the name in parentheses, may have spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const megabytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    memoryMb: megabytes("VmRSS"),
    peakMb: megabytes("VmHWM"),
  };
}
