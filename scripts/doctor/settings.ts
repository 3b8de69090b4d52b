import {
  type CommonConfig,
  ConfigError,
  commonSettings,
  type Environment,
  loadConfig,
} from "@distributed-messaging/service/config";
import { readStoreSettings, type Settings } from "@distributed-messaging/supervisor/settings";
import { Type } from "@sinclair/typebox";
import { type Finding, failed, ok, orOk, warning } from "./finding.ts";

/** The settings, where they can be read at all. */
interface ReadSettings {
  readonly findings: readonly Finding[];
  readonly usable?: { readonly settings: Settings; readonly config: CommonConfig };
}

const LOOPBACK = /^(localhost|127\.[\d.]+|\[?::1\]?)(:\d+)?$/i;

/** Checks the settings of every service together, and those that a production store should have. */
export async function checkSettings(env: Environment): Promise<ReadSettings> {
  try {
    const settings = await readStoreSettings(env);
    const config = loadConfig(Type.Object(commonSettings), env, "doctor");
    const findings = [ok("settings", "every setting of every service is valid"), ...judged(config, env)];
    return { findings, usable: { settings, config } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const remedy = "correct it: docs/settings.md says what each setting is";
    return { findings: error.problems.map((problem) => failed("settings", problem, remedy)) };
  }
}

function judged(config: CommonConfig, env: Environment): readonly Finding[] {
  const isProduction = config.NODE_ENV === "production";
  /** What a store must not have in production, and may have on a developer's machine. */
  const unfit = isProduction ? failed : warning;
  const hasDemoSignIn = env.DEMO_SIGN_IN?.trim() === "true";
  const isRemote = !config.KAFKA_BROKERS.every((address) => LOOPBACK.test(address));
  const hasCredentials =
    config.KAFKA_SASL_MECHANISM !== undefined || config.KAFKA_SSL_CERT_FILE !== undefined;
  const findings: Finding[] = isProduction
    ? []
    : [
        warning(
          "production",
          `NODE_ENV is ${config.NODE_ENV}: the settings are judged as those of a developer's machine`,
          "NODE_ENV=production for a store that others use, or --production to judge them so",
        ),
      ];
  if (hasDemoSignIn) {
    findings.push(
      warning(
        "sign-in",
        "DEMO_SIGN_IN lets anybody sign in as anybody, admins included",
        "leave DEMO_SIGN_IN out, and set AUTH_ISSUER",
      ),
    );
  } else if (config.AUTH_ISSUER === undefined) {
    findings.push(
      unfit("sign-in", "neither AUTH_ISSUER nor DEMO_SIGN_IN is set: nobody can sign in", "set AUTH_ISSUER"),
    );
  } else findings.push(ok("sign-in", `tokens are those of ${config.AUTH_ISSUER}`));
  if (config.AUTOMATION_TESTING) {
    findings.push(
      warning(
        "automation",
        "AUTOMATION_TESTING lets anybody add demo products, and an admin delete all",
        "leave AUTOMATION_TESTING out",
      ),
    );
  }
  if (isProduction && config.ALLOWED_HOSTS.length === 0) {
    findings.push(
      warning(
        "hosts",
        "ALLOWED_HOSTS is empty: requests under the store's public name are refused",
        "set ALLOWED_HOSTS and ALLOWED_ORIGINS to the public name",
      ),
    );
  }
  if (isRemote && !config.KAFKA_SSL) {
    findings.push(
      warning("tls", "messages go to the brokers unencrypted", "KAFKA_SSL=true, with KAFKA_SSL_CA_FILE"),
    );
  }
  if (isRemote && !hasCredentials) {
    findings.push(
      warning(
        "credentials",
        "the brokers do not learn which service connects, and cannot limit its rights",
        "set KAFKA_SASL_MECHANISM or KAFKA_SSL_CERT_FILE",
      ),
    );
  }
  const synchronous = config.SQLITE_SYNCHRONOUS;
  const findingsOfDisk =
    synchronous === "FULL" || synchronous === "EXTRA"
      ? []
      : [
          unfit(
            "durability",
            `SQLITE_SYNCHRONOUS is ${synchronous}: accepted orders may be lost with the power`,
            "leave SQLITE_SYNCHRONOUS out: FULL is the default",
          ),
        ];
  return [...findings, ...orOk("durability", findingsOfDisk, `a commit is on disk (${synchronous})`)];
}
