import type { TSchema } from "@sinclair/typebox";
import { documented, type Tag } from "../http/openapi.ts";

/**
 * Describes operations for the OpenAPI document that need an admin's token.
 *
 * @param tag what they administer
 */
export function forAdmins(tag: Tag) {
  return (summary: string, answers: Readonly<Record<number, TSchema | null>>, problems: number[] = []) =>
    documented(summary, { answers, problems, access: "admin", tag });
}
