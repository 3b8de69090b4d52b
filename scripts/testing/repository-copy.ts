import { cpSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** Copies the files that are or would be in version control. @param root a folder that may not exist yet */
export function copyRepository(root: string): void {
  const listed = Bun.spawnSync(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
  });
  const paths = listed.stdout.toString().split("\0").filter(Boolean);
  if (!paths.includes("package.json")) throw new Error(`git lists no files: ${listed.stderr.toString()}`);
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    // A file whose deletion is not committed is still listed.
    cpSync(join(ROOT, path), join(root, path), { force: true, recursive: true, errorOnExist: false });
  }
}
