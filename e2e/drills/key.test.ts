import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { useOwnStore } from "../support/own-store.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

describeDrill("a key that must not be believed any more", () => {
  const store = useOwnStore();
  const operator = new Operator(store);

  test(
    "is withdrawn: its tokens are refused everywhere, new ones are accepted, and no order is lost",
    async () => {
      await store.seed();
      const former = await store.signIn("CUSTOMER_key");
      await placed(former, "before");
      const rotated = await operator.follow("Rotate keys", 1);
      expect(rotated).toMatch(/\S{43} signs from now on/);
      // A token of the former key is still believed.
      await former.place(order("between"));

      const KEY = /^(\S{43}) +current/m;
      const printed = await operator.follow("Rotate keys", 2, { KEY });
      expect(printed).toMatch(/\S{43} is withdrawn; \S{43} signs/);
      await eventually(async () => {
        const { authorization: headers } = former;
        const answers = await Promise.all([
          store.request("api-gateway", "/orders", { headers }),
          store.request("notification", "/notifications?after=0", { headers }),
        ]);
        expect(answers.map(({ status }) => status)).toEqual([401, 401]);
        return true;
      }, "the tokens of the key to be refused");
      const customer = await store.signIn("CUSTOMER_key");
      await expectHealthy(store, operator, customer, ["before", "between"]);
    },
    DRILL_LIMIT_MS,
  );
});
