/** 96 bits in base64url. */
const TAG_CHARACTERS = 16;
/** An id has at most 64 characters. */
const MAX_NAME_IN_ID = 64 - 1 - TAG_CHARACTERS;

/**
 * The id under which an order travels: its customer's own name for it, and a tag of the customer and the name. So the
 * names of two customers never meet, and whoever names an order finds out nothing about the orders of others. The same
 * customer and name always give the same id. Of a name of more than 47 characters, only the tag depends on the rest.
 *
 * @param customerId whose order it is
 * @param name the customer's own name for the order, an `OrderId`
 * @returns an `OrderId`
 */
export function orderIdOf(customerId: string, name: string): string {
  return `${name.slice(0, MAX_NAME_IN_ID)}-${tagOf(customerId, name)}`;
}

/**
 * The customer's own name for an order, which `orderIdOf` made the id from. An order that was placed when ids were
 * names has its id for a name, and so has one whose name has more than 47 characters.
 */
export function orderNameOf(customerId: string, orderId: string): string {
  const name = orderId.slice(0, -1 - TAG_CHARACTERS);
  return name !== "" && orderIdOf(customerId, name) === orderId ? name : orderId;
}

function tagOf(customerId: string, name: string): string {
  // A line feed occurs in neither.
  const hash = Bun.SHA256.hash(`${customerId}\n${name}`, "base64");
  return hash.slice(0, TAG_CHARACTERS).replaceAll("+", "-").replaceAll("/", "_");
}
