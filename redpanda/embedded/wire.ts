/** The encoding of the Kafka protocol: how its primitive types are read from requests and written to responses. */
export { Reader, WireError } from "./wire/reader.ts";
export { Writer } from "./wire/writer.ts";
