import { test } from "bun:test";
import { startBroker } from "@distributed-messaging/embedded-broker";
import { compareTransactions } from "./transactions.ts";

test("the embedded broker answers to transactions as the table says", async () => {
  const broker = await startBroker({ host: "127.0.0.1" });
  try {
    await compareTransactions(broker.port);
  } finally {
    await broker.stop();
  }
});
