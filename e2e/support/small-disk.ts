import { mkdirSync, statfsSync, writeFileSync } from "node:fs";

/** Mounts a small file system in memory, which only root may. @returns whether that was possible */
export function mountSmallDisk(path: string, megabytes: number): boolean {
  mkdirSync(path, { recursive: true });
  const options = `size=${megabytes}m,mode=700`;
  return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], { stderr: "ignore" }).success;
}

/** Fills a disk. @param path of the file that does */
export function fill(path: string, disk: string): void {
  const { bavail, bsize } = statfsSync(disk);
  for (let size = bavail * bsize; size > 0; size = Math.floor(size / 2)) {
    try {
      writeFileSync(path, new Uint8Array(size), { flag: "a" });
    } catch {
      // The part that fitted stays.
    }
  }
}
