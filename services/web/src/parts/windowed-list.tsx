import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface WindowedListProps<Item> {
  readonly items: readonly Item[];
  readonly keyOf: (item: Item) => string;
  readonly row: (item: Item) => ComponentChildren;
  /** The height of every row in pixels. */
  readonly rowHeight: number;
  readonly label: string;
}

/** Rendered rows above and below the viewport. */
const MARGIN = 8;

/**
 * A list that scrolls with the page and renders only the rows in and near the viewport, so its cost does not depend on
 * its length.
 */
export function WindowedList<Item>({ items, keyOf, row, rowHeight, label }: WindowedListProps<Item>) {
  const list = useRef<HTMLUListElement>(null);
  const range = useSignal({ from: 0, to: 3 * MARGIN });
  useEffect(() => {
    let frame = 0;
    const measure = () => {
      frame = 0;
      const top = list.current?.getBoundingClientRect().top ?? 0;
      const from = Math.max(0, Math.floor(-top / rowHeight) - MARGIN);
      const to = Math.ceil((window.innerHeight - top) / rowHeight) + MARGIN;
      const { from: oldFrom, to: oldTo } = range.peek();
      if (from !== oldFrom || to !== oldTo) range.value = { from, to };
    };
    const later = () => {
      frame ||= requestAnimationFrame(measure);
    };
    measure();
    window.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", later);
      window.removeEventListener("resize", later);
    };
  }, [rowHeight, range]);
  const { from, to } = range.value;
  const first = Math.min(from, items.length);
  return (
    <ul class="windowed" ref={list} aria-label={label} style={{ height: `${items.length * rowHeight}px` }}>
      {items.slice(first, to).map((item, index) => (
        <li
          key={keyOf(item)}
          aria-setsize={items.length}
          aria-posinset={first + index + 1}
          style={{ transform: `translateY(${(first + index) * rowHeight}px)`, height: `${rowHeight}px` }}
        >
          {row(item)}
        </li>
      ))}
    </ul>
  );
}
