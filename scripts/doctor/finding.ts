/** What one check found. */
export interface Finding {
  /** What was checked, in a word: several findings may share it. */
  readonly check: string;
  readonly level: "ok" | "warning" | "failed";
  readonly text: string;
  /** What to do; absent where nothing is to be done. */
  readonly remedy?: string;
}

export function ok(check: string, text: string): Finding {
  return { check, level: "ok", text };
}

export function warning(check: string, text: string, remedy: string): Finding {
  return { check, level: "warning", text, remedy };
}

export function failed(check: string, text: string, remedy: string): Finding {
  return { check, level: "failed", text, remedy };
}

/** The findings, or one that all is well where there are none. */
export function orOk(check: string, findings: readonly Finding[], text: string): readonly Finding[] {
  return findings.length === 0 ? [ok(check, text)] : findings;
}
