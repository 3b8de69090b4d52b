import { expect, test } from "bun:test";
import { contactSheet } from "./contact-sheet.ts";
import { views } from "./views.ts";

test("the contact sheet has each view in four widths, light and dark, once", () => {
  const names = views.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  const pictures = [...contactSheet(names).matchAll(/<img src="([^"]+)"/g)].map(([, file = ""]) => file);
  const expected = names.flatMap((name) =>
    ["light", "dark"].flatMap((scheme) =>
      [390, 768, 1280, 1920].map((width) => `${name}-${width}-${scheme}.png`),
    ),
  );
  expect(pictures).toEqual(expected);
});
