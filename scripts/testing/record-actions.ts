/**
 * Preloaded into a command (`BUN_OPTIONS=--preload=…`): each port that it opens, connection that it makes, request that
 * it sends and process that it starts is a line in the file that RECORDED_ACTIONS names.
 */
import { appendFileSync } from "node:fs";
import net from "node:net";

const file = process.env.RECORDED_ACTIONS ?? "";

function record<Target extends object, Name extends keyof Target & string>(target: Target, name: Name): void {
  const original = target[name];
  if (typeof original !== "function") throw new TypeError(`${name} is not a function`);
  const recording = new Proxy(original, {
    apply(called, self, args) {
      appendFileSync(file, `${name}\n`);
      return Reflect.apply(called, self, args);
    },
  });
  if (!Reflect.set(target, name, recording)) throw new TypeError(`${name} cannot be replaced`);
}

for (const name of ["serve", "listen", "connect", "spawn", "spawnSync"] as const) record(Bun, name);
record(globalThis, "fetch");
record(net.Server.prototype, "listen");
record(net.Socket.prototype, "connect");
