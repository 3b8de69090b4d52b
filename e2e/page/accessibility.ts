import axe from "axe-core";
import type { Page } from "playwright-core";

interface Violation {
  readonly rule: string;
  readonly impact: string;
  readonly where: readonly string[];
}

/** All violations that axe finds on the page, of any impact. */
export async function axeViolations(page: Page): Promise<Violation[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const axeInPage = (window as unknown as { axe: typeof axe }).axe;
    const { violations } = await axeInPage.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, nodes }) => ({
      rule: id,
      impact: impact ?? "unknown",
      where: nodes.slice(0, 5).map(({ html, failureSummary }) => `${html} ${failureSummary}`),
    }));
  });
}

/** The document basics that Lighthouse checks. */
export function documentBasics(page: Page) {
  return page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title.length > 0,
    description:
      (document.querySelector('meta[name="description"]')?.getAttribute("content")?.length ?? 0) > 50,
    viewport: document.querySelector('meta[name="viewport"]') !== null,
    landmarks: (
      [
        ["banner", "header"],
        ["navigation", "nav"],
        ["main", "main"],
        ["contentinfo", "footer"],
      ] as const
    )
      .filter(([, tag]) => document.querySelector(`#page > ${tag}, #page > header > ${tag}`) !== null)
      .map(([role]) => role),
    headings: document.querySelectorAll("h1").length,
  }));
}
