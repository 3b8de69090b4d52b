import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

/**
 * Links the installed packages into a copy, without installing anything; the workspaces are those of the copy.
 *
 * @param root the folder of the copy
 */
export function linkPackages(root: string): void {
  const installed = join(ROOT, "node_modules");
  const own = "@distributed-messaging";
  mkdirSync(join(root, "node_modules", own), { recursive: true });
  for (const name of readdirSync(installed).filter((entry) => entry !== own)) {
    symlinkSync(join(installed, name), join(root, "node_modules", name));
  }
  // Relative links: they lead to the workspaces beside them.
  for (const name of readdirSync(join(installed, own))) {
    symlinkSync(readlinkSync(join(installed, own, name)), join(root, "node_modules", own, name));
  }
}

/** Changes a file of a copy. @throws unless it has the former text once */
export function editCopy(root: string, path: string, before: string, after: string): void {
  const file = join(root, path);
  const text = readFileSync(file, "utf8");
  if (text.split(before).length !== 2) throw new Error(`${path}: expected once: ${before}`);
  writeFileSync(file, text.replace(before, after));
}
