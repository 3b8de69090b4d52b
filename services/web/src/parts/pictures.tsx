import type { ComponentChildren } from "preact";

/*
 * Line drawings of the demo store's products, 64 by 64, in two colours of the theme. Other products get a parcel.
 */

const drawings: readonly (readonly [name: RegExp, drawing: ComponentChildren])[] = [
  [
    /cup(?!s)|mug/i,
    <>
      <path d="M14 24h30v12a14 14 0 0 1-14 14h-2a14 14 0 0 1-14-14z" />
      <path d="M44 27h4a7 7 0 0 1 0 14h-5" />
      <path class="warm" d="M23 18c-3-3 3-5 0-9M33 18c-3-3 3-5 0-9" />
    </>,
  ],
  [
    /saucer|plate/i,
    <>
      <ellipse cx="32" cy="34" rx="25" ry="13" />
      <ellipse cx="32" cy="33" rx="11" ry="5" />
      <path class="warm" d="M10 38c4 8 13 12 22 12s18-4 22-12" />
    </>,
  ],
  [
    /moka|pot/i,
    <>
      <path d="M22 30 18 54h28l-4-24zM20 30h24M24 30l-4-16h24l-4 16" />
      <path d="M44 16l8 2-3 20" />
      <path class="warm" d="M30 14v-4h4v4M32 38v0M22 42h20" />
    </>,
  ],
  [
    /grinder|mill/i,
    <>
      <path d="M20 22h24l-3 12H23zM23 34h18v20H23z" />
      <path d="M32 22v-9h14" />
      <circle class="warm" cx="48" cy="13" r="3" />
      <path class="warm" d="M28 44h8" />
    </>,
  ],
  [
    /kettle/i,
    <>
      <path d="M18 28h24l5 24H13zM22 28c0-6 4-9 8-9s8 3 8 9" />
      <path d="M42 30c12-2 14 14 14 20" />
      <path class="warm" d="M15 44H8c-3-10 2-18 10-16M30 19v-5" />
    </>,
  ],
  [
    /filter/i,
    <>
      <path d="M10 16h44L36 52h-8z" />
      <path class="warm" d="M17 16l12 34M47 16 35 50M32 16v34" />
    </>,
  ],
  [
    /dripper|pour/i,
    <>
      <path d="M12 14h40L38 38H26zM18 40h28" />
      <path d="M52 18c8 1 6 10-3 9" />
      <path class="warm" d="M32 45v3M32 54v1M24 20l5 13M32 20v13M40 20l-5 13" />
    </>,
  ],
  [
    /scale/i,
    <>
      <rect x="9" y="34" width="46" height="18" rx="4" />
      <path d="M14 34l3-9h30l3 9" />
      <path class="warm" d="M17 43h9M31 43h3M46 43h3" />
    </>,
  ],
  [
    /jug|pitcher/i,
    <>
      <path d="M17 18h26l3 32H18zM17 18l-5-4h8l3 4" />
      <path d="M44 24c12-2 12 18 1 18" />
      <path class="warm" d="M20 32c8-4 16 4 25 0" />
    </>,
  ],
  [
    /tamper/i,
    <>
      <path d="M17 46h30v7H17zM26 46l3-18h6l3 18" />
      <path class="warm" d="M23 18a9 9 0 0 1 18 0c0 5-4 6-6 10h-6c-2-4-6-5-6-10z" />
    </>,
  ],
  [
    /blend|bean|coffee|kg/i,
    <>
      <path d="M16 20h32l4 34H12zM18 20l2-8h24l2 8M20 12h24" />
      <ellipse class="warm" cx="32" cy="37" rx="7" ry="9" transform="rotate(25 32 37)" />
      <path class="warm" d="M35 29c-6 5 0 9-6 16" />
    </>,
  ],
  [
    /calendar/i,
    <>
      <rect x="12" y="14" width="40" height="38" rx="3" />
      <path d="M12 24h40M22 10v8M42 10v8" />
      <path class="warm" d="M20 32h4M30 32h4M40 32h4M20 42h4M30 42h4" />
    </>,
  ],
];

const parcel = (
  <>
    <path d="M10 22 32 12l22 10v22L32 54 10 44z" />
    <path class="warm" d="M10 22l22 10 22-10M32 32v22M21 17l22 10" />
  </>
);

/** The drawing for a product name. Decorative: the name is written beside it. */
export function Picture({ name }: { name: string }) {
  const drawing = drawings.find(([pattern]) => pattern.test(name))?.[1] ?? parcel;
  return (
    <svg class="picture" viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      {drawing}
    </svg>
  );
}

/** The logo. */
export function Sign() {
  return (
    <svg class="sign" viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <path class="sign-string" d="M20 24 32 10l12 14" />
      <rect class="sign-board" x="4" y="24" width="56" height="30" rx="8" />
      <path class="sign-cup" d="M20 33h18v7a8 8 0 0 1-8 8h-2a8 8 0 0 1-8-8zM38 35h3a4 4 0 0 1 0 8h-4" />
    </svg>
  );
}
