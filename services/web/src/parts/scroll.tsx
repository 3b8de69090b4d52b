import type { ComponentChildren } from "preact";

/** A scrollable region. It is focusable, because the keyboard scrolls only the focused element. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: WCAG 2.1.1, a scrollable region must be focusable
    <section class="scroll" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
