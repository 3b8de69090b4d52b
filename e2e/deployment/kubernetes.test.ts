import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { commonSettings, loadConfig } from "@distributed-messaging/service/config";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { canRender, kustomized, type Manifest, schemaFaults } from "./tools.ts";

const FOLDER = join(ROOT, "deploy/kubernetes");
const describeSlow = canRender ? describe : describe.skip;
const BUILD_LIMIT_MS = 600_000;
const read = (path: string) => readFileSync(join(FOLDER, path), "utf8");

test("every registered service has its manifests, with its port, and Kustomize is told of them", () => {
  const { resources } = Bun.YAML.parse(read("base/kustomization.yaml")) as { resources: string[] };
  for (const name of serviceNames) {
    expect(resources).toContain(`${name}.yaml`);
    const [set, service, budget] = Bun.YAML.parse(read(`base/${name}.yaml`)) as Manifest[];
    expect([set?.kind, service?.kind, budget?.kind]).toEqual([
      "StatefulSet",
      "Service",
      "PodDisruptionBudget",
    ]);
    for (const manifest of [set, service, budget]) expect(manifest?.metadata.name).toBe(name);
    const { port } = services[name];
    expect(set?.spec.template.spec.containers[0].ports).toEqual([{ name: "http", containerPort: port }]);
    expect(service?.spec.ports).toEqual([{ name: "http", port, targetPort: "http" }]);
  }
  for (const file of resources) expect([file, existsSync(join(FOLDER, "base", file))]).toEqual([file, true]);
});

test("the demonstration has the Redpanda of compose.yaml, with its configuration", () => {
  expect(read("overlays/demo/redpanda-bootstrap.yaml")).toBe(
    readFileSync(join(ROOT, "redpanda/redpanda.yaml"), "utf8"),
  );
  const [, image = "none"] =
    /image: (redpandadata\/redpanda:\S+)/.exec(readFileSync(join(ROOT, "compose.yaml"), "utf8")) ?? [];
  expect(read("overlays/demo/redpanda.yaml")).toContain(`image: ${image}\n`);
});

describeSlow.each(["demo", "production"])("the overlay %s", (overlay) => {
  const folder = mkdtempSync(join(tmpdir(), "kubernetes-"));
  const file = join(folder, "manifests.yaml");
  let manifests: readonly Manifest[] = [];

  beforeAll(async () => {
    const rendered = await kustomized(join(FOLDER, "overlays", overlay));
    manifests = rendered.manifests;
    writeFileSync(file, rendered.text);
  }, BUILD_LIMIT_MS);
  afterAll(() => rmSync(folder, { recursive: true }));

  const ofKind = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const named = (kind: string, name: string): Manifest => {
    const found = ofKind(kind).find(({ metadata }) => metadata.name === name);
    if (found === undefined) throw new Error(`no ${kind} ${name}`);
    return found;
  };
  const podOf = (name: string) =>
    (name === "provision" ? named("Job", name) : named("StatefulSet", name)).spec.template;
  const containerOf = (name: string) => podOf(name).spec.containers[0];

  /** The environment of a container, without that of its image. */
  function environmentOf(name: string): Record<string, string> {
    const { envFrom, env = [] } = containerOf(name);
    const given: Record<string, string> = {};
    for (const { configMapRef } of envFrom) Object.assign(given, named("ConfigMap", configMapRef.name).data);
    for (const { name: setting, value, valueFrom } of env) {
      const [, label = ""] = /^metadata\.labels\['(.+)'\]$/.exec(valueFrom?.fieldRef.fieldPath ?? "") ?? [];
      given[setting] = value ?? podOf(name).metadata.labels[label];
    }
    return given;
  }

  test(
    "matches the schemas of Kubernetes, which refuse a field that there is not",
    async () => {
      expect(await schemaFaults(file)).toEqual([]);
      const wrong = join(folder, "wrong.yaml");
      writeFileSync(wrong, readFileSync(file, "utf8").replace("failureThreshold:", "failureTreshold:"));
      expect((await schemaFaults(wrong)).join("\n")).toContain("failureTreshold");
    },
    BUILD_LIMIT_MS,
  );

  test("there is one pod of each service, which a drained node may give up, with a volume of its own that stays", () => {
    const sets = ofKind("StatefulSet").map(({ metadata }) => metadata.name);
    expect(sets.filter((name) => name !== "redpanda").toSorted()).toEqual([...serviceNames].toSorted());
    for (const name of serviceNames) {
      const { spec } = named("StatefulSet", name);
      expect(spec).toMatchObject({
        replicas: 1,
        serviceName: name,
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        volumeClaimTemplates: [{ metadata: { name: "data" } }],
      });
      const budget = named("PodDisruptionBudget", name).spec;
      expect(budget.maxUnavailable).toBe(1);
      for (const { matchLabels } of [budget.selector, spec.selector]) {
        expect(podOf(name).metadata.labels).toMatchObject(matchLabels);
      }
      expect(podOf(name).metadata.labels).toMatchObject(named("Service", name).spec.selector);
    }
  });

  test("each container accepts its settings, and each setting is one that it reads", async () => {
    const image = { NODE_ENV: "production", HOST: "0.0.0.0" };
    const ca = join(folder, "ca.pem");
    writeFileSync(ca, rootCertificates[0] ?? "");
    const files = { KAFKA_SSL_CA_FILE: ca, KAFKA_SASL_PASSWORD_FILE: file, OPERATOR_KEY_FILE: file };
    for (const name of serviceNames) {
      const { config } = (await services[name].load()).service;
      const given = environmentOf(name);
      expect(given.SERVICE).toBe(name);
      expect(["SERVICE", ...Object.keys(config.properties)]).toContainValues(Object.keys(given));
      // In place of the files of the secrets, one that there is here.
      const present = Object.fromEntries(Object.entries(files).filter(([setting]) => setting in given));
      const loaded = loadConfig(config, { ...image, ...given, ...present }, name);
      expect(loaded).toMatchObject({ DATA_DIR: "/data/store", NODE_ENV: "production" });
      const brokers =
        overlay === "demo" ? ["redpanda:9092"] : [1, 2, 3].map((n) => `broker-${n}.example:9093`);
      expect<Readonly<Record<string, unknown>>>(loaded).toMatchObject({ KAFKA_BROKERS: brokers });
    }
    const provision = environmentOf("provision");
    expect(Object.keys(commonSettings)).toContainValues(Object.keys(provision));
    const present = Object.fromEntries(Object.entries(files).filter(([setting]) => setting in provision));
    loadConfig(Type.Object(commonSettings), { ...image, ...provision, ...present }, "provision");
  });

  test("every file that a setting names is mounted, from the container's own secrets where it is one", () => {
    for (const name of [...serviceNames, "provision"]) {
      const { spec } = podOf(name);
      const mounts: { name: string; mountPath: string; readOnly?: boolean }[] =
        containerOf(name).volumeMounts;
      const claims =
        named(name === "provision" ? "Job" : "StatefulSet", name).spec.volumeClaimTemplates ?? [];
      const volumes = [
        ...spec.volumes.map((one: { name: string }) => one.name),
        ...claims.map((one: Manifest) => one.metadata.name),
      ];
      for (const mount of mounts) expect(volumes).toContain(mount.name);
      for (const [setting, path] of Object.entries(environmentOf(name))) {
        if (!setting.endsWith("_FILE")) continue;
        const folders = mounts.map(({ mountPath }) => mountPath);
        expect([name, setting, folders.includes(dirname(path))]).toEqual([name, setting, true]);
      }
      const secrets = spec.volumes.find((one: { name: string }) => one.name === "secrets");
      expect(secrets.secret).toEqual({ secretName: `${name}-secrets`, optional: true, defaultMode: 0o440 });
      for (const { configMap } of spec.volumes) {
        if (configMap !== undefined) expect(named("ConfigMap", configMap.name).data).toBeDefined();
      }
    }
    for (const { data } of ofKind("ConfigMap")) {
      for (const setting of Object.keys(data ?? {})) expect(setting).not.toMatch(/PASSWORD$|SECRET$|_KEY$/);
    }
    expect(ofKind("Secret")).toEqual([]);
  });

  test("probes ask what the services answer, and nothing has more rights than it needs", () => {
    const routes = readFileSync(join(ROOT, "shared/service/http/health.ts"), "utf8");
    const paths = [...routes.matchAll(/\.get\(\s*"(\/[a-z]+)"/g)].map(([, path]) => path);
    for (const name of [...serviceNames, "provision"]) {
      const { spec } = podOf(name);
      expect(spec).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          fsGroup: 1000,
          seccompProfile: { type: "RuntimeDefault" },
        },
      });
      expect(containerOf(name)).toMatchObject({
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
        resources: {
          requests: { cpu: expect.any(String), memory: expect.any(String) },
          limits: { memory: expect.any(String) },
        },
      });
      if (name === "provision") continue;
      const { startupProbe, livenessProbe, readinessProbe } = containerOf(name);
      expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet)).toEqual([
        { path: "/liveness", port: "http" },
        { path: "/liveness", port: "http" },
        { path: "/readiness", port: "http" },
      ]);
      for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe])
        expect(paths).toContain(httpGet.path);
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(30);
    }
  });

  test("what is not allowed is refused on the network; what is allowed leads to ports that there are", () => {
    expect(named("NetworkPolicy", "default-deny").spec).toEqual({
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
    });
    const [customers] = named("NetworkPolicy", "customers").spec.podSelector.matchExpressions;
    expect(customers.values.toSorted()).toEqual(["api-gateway", "notification"] satisfies ServiceName[]);
    for (const name of serviceNames) {
      expect(podOf(name).metadata.labels).toMatchObject(
        named("NetworkPolicy", "monitoring").spec.podSelector.matchLabels,
      );
    }
    const [egress] = named("NetworkPolicy", "brokers").spec.egress;
    const ports: number[] = egress.ports.map(({ port }: { port: number }) => port);
    for (const address of (environmentOf("order").KAFKA_BROKERS ?? "").split(",")) {
      expect(ports).toContain(Number(address.split(":").at(-1)));
    }
    for (const { spec } of ofKind("Ingress")) {
      for (const { backend } of spec.rules[0].http.paths) {
        const { ports: offered } = named("Service", backend.service.name).spec;
        expect(offered.map(({ name }: { name: string }) => name)).toContain(backend.service.port.name);
      }
    }
  });

  if (overlay === "production") {
    test("nothing of the demonstration is on, topics are replicated, and the brokers are reached by TLS and SASL", () => {
      for (const name of [...serviceNames, "provision"]) {
        const given = environmentOf(name);
        for (const setting of ["ALLOW_INSECURE", "DEMO_SIGN_IN", "AUTOMATION_TESTING", "TOPICS"]) {
          expect(given).not.toHaveProperty(setting);
        }
        expect(given).toMatchObject({
          KAFKA_SSL: "true",
          KAFKA_SASL_USERNAME: name,
          TOPIC_REPLICATION: "3",
          TOPIC_MIN_INSYNC_REPLICAS: "2",
        });
      }
      for (const name of serviceNames) {
        expect(named("StatefulSet", name).spec.volumeClaimTemplates[0].spec.accessModes).toEqual([
          "ReadWriteOncePod",
        ]);
      }
    });
  }
});
