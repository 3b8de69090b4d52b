import { expect, test } from "bun:test";
import { escapeInvisible } from "./visible-text.ts";

test.each([
  ["a right-to-left override", "gpj.\u202eexe", "gpj.\\u202eexe"],
  ["isolates and marks", "\u2066a\u2069\u200f\u061c", "\\u2066a\\u2069\\u200f\\u061c"],
  ["an escape sequence of a terminal", "a\u001b[2Jb", "a\\u001b[2Jb"],
  ["C1 and delete", "\u009b\u007f", "\\u009b\\u007f"],
  ["a carriage return", "a\rb", "a\\u000db"],
  ["separators of lines and paragraphs", "a\u2028b\u2029", "a\\u2028b\\u2029"],
  ["characters without a width", "OR\u200bDER\ufeff\u00ad", "OR\\u200bDER\\ufeff\\u00ad"],
  ["a joiner in ASCII", "OR\u200dDER", "OR\\u200dDER"],
  ["a tag, which is two code units", "a\u{e0041}", "a\\udb40\\udc41"],
])("%s becomes visible", (_, text, shown) => {
  expect(escapeInvisible(text)).toBe(shown);
});

test.each(["two\nlines\tand a tab", "Käse für 3 €", "قهوة", "👩\u200d🍳", "می\u200cخواهم", ""])(
  "%j stays as it is",
  (text) => {
    expect(escapeInvisible(text)).toBe(text);
  },
);

test("JSON keeps its meaning, whatever character its texts have", () => {
  const value = Array.from({ length: 0x11000 }, (_, code) => String.fromCodePoint(code));
  value.push("\u{e0001}\u{1d173}", "\\u202e\\\u202e");
  expect(JSON.parse(escapeInvisible(JSON.stringify(value)))).toEqual(value);
});
