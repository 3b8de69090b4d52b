/**
 * The package registry of this machine as environment variables. It may be set in an npmrc, which a test with its own
 * home and PATH does not read.
 */
export async function registryOf(npm: string | null): Promise<Record<string, string>> {
  const inherited = Object.entries(process.env).flatMap(([name, value]) =>
    NETWORK_SETTING.test(name) && value !== undefined ? [[name, value] as const] : [],
  );
  const registry =
    process.env.npm_config_registry ?? (npm === null ? undefined : await configured(npm, "registry"));
  const globalConfig = npm === null ? undefined : await configured(npm, "globalconfig");
  return {
    ...Object.fromEntries(inherited),
    ...(registry === undefined ? {} : { npm_config_registry: registry, BUN_CONFIG_REGISTRY: registry }),
    ...(globalConfig === undefined ? {} : { npm_config_globalconfig: globalConfig }),
  };
}

const NETWORK_SETTING =
  /^(https?_proxy|no_proxy|all_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|npm_config_(cafile|ca|https?_proxy|proxy))$/i;

async function configured(npm: string, setting: string): Promise<string | undefined> {
  const child = Bun.spawn([npm, "config", "get", setting], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const answer = (await new Response(child.stdout).text()).trim();
  return (await child.exited) === 0 && answer !== "undefined" ? answer : undefined;
}
