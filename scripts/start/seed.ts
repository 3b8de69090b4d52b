import { UsageError } from "./settings.ts";

const TIMEOUT_MS = 10_000;

/** Fills in the demo catalogue; what is there already stays as it is. @param inventory the service's address */
export async function seedCatalogue(inventory: string): Promise<void> {
  const failed = (reason: string) => new UsageError(`the demo catalogue could not be made: ${reason}`);
  let response: Response;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(`${inventory}/automation-testing/seed`, { method: "POST", signal });
  } catch {
    throw failed(`no answer from ${inventory}`);
  }
  if (!response.ok) throw failed(`${inventory} answered ${response.status}`);
}
