/** The file system in memory answers as that of the operating system does. */
import { afterEach, describe, expect, test } from "bun:test";
import { cleanAll, temporaryDirectory } from "../testing/temporary.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import { memoryFileSystem } from "./memory-file-system.ts";

afterEach(cleanAll);

async function write(files: FileSystem, path: string, text: string): Promise<void> {
  const file = await files.open(path, "w+");
  await file.write(Buffer.from(text), 0, text.length, 0);
  await file.datasync();
  await file.close();
}

const options = { recursive: true, force: true } as const;

describe.each([
  ["on disk", async () => ({ files: nodeFileSystem, root: await temporaryDirectory() })],
  ["in memory", async () => ({ files: memoryFileSystem(1024 ** 2), root: "/" })],
])("%s", (_, setUp) => {
  const at = (root: string, path: string) => (root === "/" ? `/${path}` : `${root}/${path}`);

  test("a file is written at any position, read, cut and grown", async () => {
    const { files, root } = await setUp();
    const file = await files.open(at(root, "a"), "w+");
    const bytes = Buffer.from("hello world");
    expect(await file.write(bytes, 6, 5, 0)).toMatchObject({ bytesWritten: 5 });
    expect(await file.write(bytes, 0, 6, 5)).toMatchObject({ bytesWritten: 6 });
    expect(await file.stat()).toMatchObject({ size: 11 });
    const buffer = Buffer.alloc(20, "-");
    expect(await file.read(buffer, 2, 18, 3)).toMatchObject({ bytesRead: 8 });
    expect(buffer.toString()).toBe("--ldhello ----------");
    expect(await file.read(buffer, 0, 5, 11)).toMatchObject({ bytesRead: 0 });
    await file.truncate(4);
    await file.truncate(6);
    await file.sync();
    await file.close();
    expect(await files.readFile(at(root, "a"))).toEqual(Buffer.from("worl\0\0"));
    const again = await files.open(at(root, "a"), "r+");
    await again.write(Buffer.from("x".repeat(100_000)), 0, 100_000, 6);
    expect(await again.stat()).toMatchObject({ size: 100_006 });
    await again.close();
    expect((await files.readFile(at(root, "a"))).toString()).toBe(`worl\0\0${"x".repeat(100_000)}`);
    await (await files.open(at(root, "a"), "w+")).close();
    expect(await files.readFile(at(root, "a"))).toHaveLength(0);
  });

  test("a content that was read does not change with the file", async () => {
    const { files, root } = await setUp();
    await write(files, at(root, "a"), "before");
    const content = await files.readFile(at(root, "a"));
    const file = await files.open(at(root, "a"), "r+");
    await file.write(Buffer.from("after!"), 0, 6, 0);
    await file.close();
    expect(content.toString()).toBe("before");
  });

  test("directories are made with their parents, listed, and removed with their content", async () => {
    const { files, root } = await setUp();
    expect(await files.mkdir(at(root, "a/b/c"), { recursive: true })).toBe(at(root, "a"));
    expect(await files.mkdir(at(root, "a/b/d"), { recursive: true })).toBe(at(root, "a/b/d"));
    expect(await files.mkdir(at(root, "a/b"), { recursive: true })).toBeUndefined();
    await write(files, at(root, "a/b/file"), "x");
    await files.syncDirectory(at(root, "a/b"));
    expect((await files.readdir(at(root, "a/b"))).sort()).toEqual(["c", "d", "file"]);
    await files.rm(at(root, "a"), options);
    await files.rm(at(root, "a"), options);
    expect(await files.readdir(root)).toEqual([]);
  });

  test("a rename replaces a file, and moves a directory with its content", async () => {
    const { files, root } = await setUp();
    await files.mkdir(at(root, "a"), { recursive: true });
    await write(files, at(root, "a/new"), "new");
    await write(files, at(root, "a/old"), "old");
    await files.rename(at(root, "a/new"), at(root, "a/old"));
    await files.rename(at(root, "a"), at(root, "b"));
    expect(await files.readdir(root)).toEqual(["b"]);
    expect(await files.readdir(at(root, "b"))).toEqual(["old"]);
    expect((await files.readFile(at(root, "b/old"))).toString()).toBe("new");
  });

  test("a file that is open can be used after it was removed or replaced", async () => {
    const { files, root } = await setUp();
    await write(files, at(root, "a"), "a");
    const file = await files.open(at(root, "a"), "r+");
    await write(files, at(root, "b"), "b");
    await files.rename(at(root, "b"), at(root, "a"));
    const buffer = Buffer.alloc(1);
    await file.read(buffer, 0, 1, 0);
    expect(buffer.toString()).toBe("a");
    await files.rm(at(root, "a"), options);
    await file.write(Buffer.from("c"), 0, 1, 1);
    expect(await file.stat()).toMatchObject({ size: 2 });
    await file.close();
    expect(await files.readdir(root)).toEqual([]);
  });

  test("what is missing, or of the other kind, is an error with the code of the operating system", async () => {
    const { files, root } = await setUp();
    await write(files, at(root, "file"), "x");
    await files.mkdir(at(root, "directory"), { recursive: true });
    const none = at(root, "none");
    for (const [work, code] of [
      [() => files.open(none, "r+"), "ENOENT"],
      [() => files.open(`${none}/a`, "w+"), "ENOENT"],
      [() => files.open(at(root, "directory"), "r+"), "EISDIR"],
      [() => files.readFile(none), "ENOENT"],
      [() => files.readFile(at(root, "directory")), "EISDIR"],
      [() => files.readdir(none), "ENOENT"],
      [() => files.readdir(at(root, "file")), "ENOTDIR"],
      [() => files.rename(none, at(root, "b")), "ENOENT"],
      [() => files.syncDirectory(none), "ENOENT"],
      [() => files.mkdir(at(root, "file/a"), { recursive: true }), "ENOTDIR"],
    ] as const) {
      await expect(work()).rejects.toMatchObject({ code });
    }
  });
});

test("memory that is used up is a full disk, until a file is removed or replaced", async () => {
  const files = memoryFileSystem(10_000);
  await write(files, "/a", "x".repeat(4_000));
  await write(files, "/b", "x".repeat(4_000));
  await expect(write(files, "/c", "x")).rejects.toMatchObject({ code: "ENOSPC" });
  await files.rm("/c", options);
  await files.rename("/b", "/a");
  await write(files, "/c", "x");
  await files.mkdir("/folder", { recursive: true });
  await files.rename("/c", "/folder/c");
  await expect(write(files, "/d", "x")).rejects.toMatchObject({ code: "ENOSPC" });
  await files.rm("/folder", options);
  await write(files, "/d", "x");
});
