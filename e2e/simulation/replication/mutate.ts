import { readFileSync } from "node:fs";
import { join } from "node:path";
import { plugin } from "bun";
import { codeMutants } from "./mutants.ts";

/* Loaded before a run: the mutant that MUTANT names, by its position, takes the place of the code. */

const mutant = codeMutants[Number(process.env.MUTANT)];
if (mutant === undefined) throw new Error("MUTANT is the position of a mutant");
const { file, from, to } = mutant;
const changed = join(import.meta.dir, "../../../shared/messaging", file);

plugin({
  name: "mutant",
  setup(build) {
    build.onLoad({ filter: new RegExp(`${file.replaceAll(/[/.]/g, "\\$&")}$`) }, ({ path }) => {
      const code = readFileSync(path, "utf8");
      if (path !== changed || !code.includes(from)) throw new Error(`${path} does not have: ${from}`);
      return { contents: code.replace(from, () => to), loader: "ts" };
    });
  },
});
