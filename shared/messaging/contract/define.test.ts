import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { faultsOf } from "./define.ts";

test("faults name each path once, and at most three of them", () => {
  const fields = { a: Type.String(), b: Type.Integer(), c: Type.Integer(), d: Type.Integer() };
  const check = TypeCompiler.Compile(Type.Object(fields));
  expect(faultsOf(check, { a: 7, b: 1, c: 1, d: 1 })).toBe("/a: Expected string");
  // TypeBox finds two faults at the path of what is missing: that it is required, and that undefined is no string.
  expect(faultsOf(check, {})).toBe("/a: is missing; /b: is missing; /c: is missing");
});
