import { describe, expect, test } from "bun:test";
import type { Answer } from "./client.ts";
import { type Allowed, problemsOf } from "./compare.ts";
import type { Run } from "./run.ts";

const nothing: Allowed = { differences: [], clientDefects: [] };

/** A run with a step of one client. */
function run(broker: string, answer: Answer, expected?: Answer): Run {
  const transcript = new Map([["asks", { feature: "admin" as const, answer, expected }]]);
  return { broker, versions: new Map(), transcripts: new Map([["kcat", transcript]]) };
}

const problems = (here: Answer, there: Answer, expected?: Answer, allowed = nothing) =>
  problemsOf(run("here", here, expected), run("there", there, expected), allowed);

describe("answers of clients", () => {
  test("that are the same and expected are no problem", () => {
    expect(problems({ error: 3 }, { error: 3 }, { error: 3 })).toEqual([]);
    expect(problems({ error: 3 }, { error: 3 })).toEqual([]);
    expect(problems({ lacks: "asks" }, { lacks: "asks" }, {})).toEqual([]);
    expect(problemsOf(run("here", {}, {}), undefined, nothing)).toEqual([]);
  });

  test("that differ are", () => {
    expect(problems({ error: 3 }, { error: 4 })).toEqual([
      'kcat: asks: {"error":3} on here, {"error":4} on there',
    ]);
    expect(problems({}, { lacks: "asks" })).toHaveLength(1);
    const other = { ...run("there", {}), transcripts: new Map() };
    expect(problemsOf(run("here", {}), other, nothing)).toEqual([
      "kcat: asks: {} on here, no answer on there",
    ]);
  });

  test("that the script does not expect are, on either broker", () => {
    expect(problems({ error: 3 }, { error: 3 }, {})).toEqual([
      'kcat: asks: on here {"error":3} instead of {}',
      'kcat: asks: on there {"error":3} instead of {}',
    ]);
  });

  test("may differ as listed, and only as long as they do", () => {
    const allowed = { ...nothing, differences: [{ step: "asks", reason: "" }] };
    expect(problems({ error: 3 }, {}, {}, allowed)).toEqual([]);
    expect(problems({}, { error: 3 }, {}, allowed)).toEqual([
      'kcat: asks: on there {"error":3} instead of {}',
    ]);
    expect(problems({}, {}, {}, allowed)).toEqual(["asks: there is no such difference any more"]);
  });

  test("may be a defect of the client", () => {
    const allowed = { ...nothing, clientDefects: [{ client: "kcat", step: "asks", what: "" }] };
    expect(problems({ error: 3 }, { error: 3 }, {}, allowed)).toEqual([]);
    expect(problems({ error: 3 }, { error: 4 }, {}, allowed)).toEqual([]);
    expect(problems({}, {}, {}, allowed)).toEqual(["asks: there is no such difference any more"]);
  });
});
