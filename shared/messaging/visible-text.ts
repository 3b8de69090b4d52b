const INVISIBLE = /(?![\t\n])(?!(?<=\P{ASCII})[\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Makes visible what a text from a message could hide or reorder on a screen, in the form of a JSON escape: U+202E becomes
 * `\u202e`. These are control and format characters (Unicode categories Cc and Cf, which has the bidirectional ones, see
 * CVE-2021-42574) and the separators of lines and paragraphs. Tabs and line feeds stay, and so do joiners after a
 * character outside of ASCII, where scripts and emoji need them.
 *
 * JSON that `JSON.stringify` wrote keeps its meaning.
 */
export function escapeInvisible(text: string): string {
  return text.replace(INVISIBLE, (character) =>
    // By UTF-16 code units, as in JSON.
    character
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}
