/** `bun run bench`: how fast it is here and now. Compare figures of one run with each other, not with another's. */
import { cpus } from "node:os";
import { benchStore } from "./bench/store.ts";
import { benchUnitOfWork } from "./bench/unit-of-work.ts";

process.stdout.write(`Bun ${Bun.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}\n`);
await benchUnitOfWork();
await benchStore();
