import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Whether small file systems can be mounted, which only root may do. For the choice between `describe` and
 * `describe.skip`: the file system itself is mounted by a hook, because what is mounted while a test file is only loaded,
 * as with a filter that selects none of its tests, stays mounted.
 */
export function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), "mount-"));
  try {
    const can = Bun.which("mount") !== null && mount(path, 1);
    if (can) unmount(path);
    return can;
  } finally {
    rmSync(path, { recursive: true });
  }
}

/** Mounts a small file system in memory. `unmount` belongs into a `finally` or a hook. @throws when that is not possible */
export function mountSmallDisk(path: string, megabytes: number): void {
  mkdirSync(path, { recursive: true });
  if (!mount(path, megabytes)) throw new Error(`no file system can be mounted at ${path}`);
}

function mount(path: string, megabytes: number): boolean {
  const options = `size=${megabytes}m,mode=700`;
  const command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path];
  return Bun.spawnSync(command, { stderr: "ignore" }).exitCode === 0;
}

/** Lazily: a process that is ending may still have a file of it open, and `umount` alone would leave it mounted. */
export function unmount(path: string): void {
  Bun.spawnSync(["umount", "--lazy", path]);
}

/** Fills a disk with one file. @param path the file @param disk a directory of the disk */
export function fillDisk(path: string, disk: string): void {
  const { bavail, bsize } = statfsSync(disk);
  for (let size = bavail * bsize; size > 0; size = Math.floor(size / 2)) {
    try {
      writeFileSync(path, new Uint8Array(size), { flag: "a" });
    } catch {
      // The part that fitted stays.
    }
  }
}
