import { allMessages, SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { VerificationKeys } from "@distributed-messaging/service/identity";
import { TemplateConfig } from "./config.ts";
import { templateHandlers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { TemplateStore } from "./store.ts";

export const service = defineService({
  name: "template",
  description: "Has one task for each confirmed order",
  license: "MIT",
  config: TemplateConfig,
  migrations,
  messages: allMessages,
  brokerRequired: true,
  compose(database, config, log) {
    const store = new TemplateStore(database);
    const keys = new VerificationKeys(database, config, tokenClaims, log);
    return {
      parts: { store },
      handlers: [...templateHandlers(store), keys.handler(SigningKeyPublished)],
      verifier: keys.verifier,
      gauges: [
        { name: "tasks_open", help: "Tasks that are not done yet", read: () => store.countByStatus("open") },
      ],
    };
  },
});
