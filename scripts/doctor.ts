import { escapeInvisible } from "@distributed-messaging/messaging";
import { kafkaSettings } from "@distributed-messaging/service/config";
import { instancesIn, principalsOf, storeGrants } from "./access/grants.ts";
import { parseOptions, runCommand } from "./command/command.ts";
import { checkBroker } from "./doctor/broker.ts";
import { checkFiles } from "./doctor/files.ts";
import { type Finding, failed, ok } from "./doctor/finding.ts";
import { checkServices } from "./doctor/services.ts";
import { checkSettings } from "./doctor/settings.ts";
import { pinnedBun } from "./doctor/versions.ts";

const USAGE = `usage: bun run doctor [-- --production] [--json] [--principal …] [--instances NAMES]

Checks a store that runs, or one that is stopped, and changes nothing: the settings in the environment, the disk, the
databases and keys in DATA_DIR, the versions, the services, their clocks, the topics and the rights at the brokers of
KAFKA_BROKERS. One line for each check: ok, warning or failed, with what to do. Run it on the machine of a service,
with its settings. The exit code is 1 when a check failed.

  --production   judges the settings as those of a store that others use, as NODE_ENV=production does
  --principal P  as for bun run access: the principals of the services, User:{service} by default; may be repeated
  --instances N  as for bun run access: the names of the instances, where services have several
  --json         prints JSON`;

const LEVELS = { ok: "ok     ", warning: "warning", failed: "FAILED " } as const;

async function examine(
  isProduction: boolean,
  principals: readonly string[],
  instances: readonly string[],
): Promise<readonly Finding[]> {
  const env = isProduction ? { ...process.env, NODE_ENV: "production" } : process.env;
  const grants = await storeGrants(principalsOf(principals), {}, instances);
  const { findings, usable } = await checkSettings(env);
  const version =
    Bun.version === pinnedBun()
      ? ok("versions", `Bun ${Bun.version}, as tested`)
      : failed("versions", `Bun ${Bun.version} instead of ${pinnedBun()}`, "run it with npm run or bun run");
  if (usable === undefined) return [...findings, version];
  const { settings, config } = usable;
  const judgedAsProduction = config.NODE_ENV === "production";
  const services = await checkServices(settings, judgedAsProduction);
  return [
    ...findings,
    version,
    ...(await checkFiles(settings)),
    ...services.findings,
    ...(await checkBroker({
      settings: kafkaSettings("doctor", config),
      grants,
      isExpected: services.running > 0 || settings.brokers !== undefined,
      isProduction: judgedAsProduction,
    })),
  ];
}

await runCommand("doctor", USAGE, async (args) => {
  const { values } = parseOptions(args, {
    production: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    principal: { type: "string", multiple: true },
    instances: { type: "string" },
  });
  const instances = instancesIn(values.instances);
  const findings = await examine(values.production, values.principal ?? [], instances);
  const lines = findings.map(
    ({ level, check, text, remedy }) =>
      `${LEVELS[level]}  ${check.padEnd(11)}  ${text}${remedy === undefined ? "" : `. To do: ${remedy}`}`,
  );
  console.log(escapeInvisible(values.json ? JSON.stringify(findings, null, 2) : lines.join("\n")));
  return findings.some(({ level }) => level === "failed") ? 1 : 0;
});
