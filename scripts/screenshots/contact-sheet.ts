/* Every view of the page in every width and colour scheme, on one sheet to look at. */

export const WIDTHS = [390, 768, 1280, 1920] as const;
export const COLOR_SCHEMES = ["light", "dark"] as const;
const HEIGHT = 900;

export interface Variant {
  readonly width: number;
  readonly height: number;
  readonly colorScheme: (typeof COLOR_SCHEMES)[number];
}

export const variants: readonly Variant[] = COLOR_SCHEMES.flatMap((colorScheme) =>
  WIDTHS.map((width) => ({ width, height: HEIGHT, colorScheme })),
);

/** The file of a picture. */
export function pictureName(view: string, { width, colorScheme }: Variant): string {
  return `${view}-${width}-${colorScheme}.png`;
}

/** The sheet: a row for each view and colour scheme, each picture a link to itself in full size. */
export function contactSheet(views: readonly string[]): string {
  const picture = (view: string, variant: Variant) => {
    const file = pictureName(view, variant);
    const caption = `${variant.width} px, ${variant.colorScheme}`;
    return `<figure style="flex: ${variant.width}"><a href="${file}"><img src="${file}" alt="${view}, ${caption}" loading="lazy"></a><figcaption>${caption}</figcaption></figure>`;
  };
  const row = (view: string, colorScheme: Variant["colorScheme"]) =>
    `<div>${variants
      .filter((variant) => variant.colorScheme === colorScheme)
      .map((variant) => picture(view, variant))
      .join("")}</div>`;
  const sections = views.map(
    (view) => `<h2 id="${view}">${view}</h2>\n${COLOR_SCHEMES.map((scheme) => row(view, scheme)).join("\n")}`,
  );
  const links = views.map((view) => `<a href="#${view}">${view}</a>`).join(" ");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Every view of the page</title>
<style>
  body { font: 14px system-ui; margin: 24px; background: #f2f2f2; color: #222; }
  nav { display: flex; flex-wrap: wrap; gap: 12px; }
  div { display: flex; gap: 12px; align-items: flex-start; margin-bottom: 12px; }
  figure { margin: 0; min-width: 0; }
  img { width: 100%; border: 1px solid #bbb; }
</style>
<h1>Every view of the page</h1>
<nav>${links}</nav>
${sections.join("\n")}
</html>
`;
}
