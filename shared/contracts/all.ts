import type { MessageDefinition } from "./definition.ts";
import { gatewayMessages } from "./gateway.ts";
import { inventoryMessages } from "./inventory.ts";
import type { DataOf } from "./message.ts";
import { orderMessages } from "./orders.ts";

/** Every kind of message that travels between the services. */
export const allMessages: readonly MessageDefinition[] = [
  ...orderMessages,
  ...inventoryMessages,
  ...gatewayMessages,
];

/** A message that a decision asks for: what to say, before there is an envelope to say it in. */
export interface Emission<Definition extends MessageDefinition = MessageDefinition> {
  readonly definition: Definition;
  readonly data: DataOf<Definition>;
}

export function emission<Definition extends MessageDefinition>(
  definition: Definition,
  data: DataOf<Definition>,
): Emission<Definition> {
  return { definition, data };
}
