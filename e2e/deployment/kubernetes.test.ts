import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { commonSettings, loadConfig } from "@distributed-messaging/service/config";
import { ensureSigningKeyFile } from "@distributed-messaging/service/signing-key";
import { rightsOf } from "@distributed-messaging/services/access-rights";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { runToEnd } from "../support/run-to-end.ts";
import { instancesOf } from "./instances.ts";
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

describeSlow.each(["demo", "cluster", "production"])("the overlay %s", (overlay) => {
  /** The instances of each service that has several. */
  const several = overlay === "demo" ? [] : instancesOf(2);
  const countOf = (name: string) => several.filter(({ service }) => service === name).length || 1;
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

  /** What Kubernetes puts in place of a field of a pod. */
  function fieldOf(name: string, ordinal: number, path = ""): string {
    if (path === "metadata.name") return `${name}-${ordinal}`;
    const [, label = ""] = /^metadata\.labels\['(.+)'\]$/.exec(path) ?? [];
    return label === "apps.kubernetes.io/pod-index" ? String(ordinal) : podOf(name).metadata.labels[label];
  }

  /** The environment of a container of the pod with that number, without that of its image and of Secrets. */
  function environmentOf(name: string, ordinal = 0): Record<string, string> {
    const { envFrom = [], env = [] } = containerOf(name);
    const given: Record<string, string> = {};
    for (const { configMapRef } of envFrom) {
      if (configMapRef !== undefined) Object.assign(given, named("ConfigMap", configMapRef.name).data);
    }
    for (const { name: setting, value, valueFrom } of env) {
      // Only what was defined before it is there.
      given[setting] =
        value?.replace(/\$\((\w+)\)/g, (text: string, other: string) => given[other] ?? text) ??
        fieldOf(name, ordinal, valueFrom.fieldRef.fieldPath);
      expect([setting, given[setting]]).toEqual([setting, expect.not.stringContaining("$(")]);
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

  test("each pod of a service has a volume of its own that stays, and a drained node may give up one at a time", () => {
    const sets = ofKind("StatefulSet").map(({ metadata }) => metadata.name);
    expect(sets.filter((name) => name !== "redpanda").toSorted()).toEqual([...serviceNames].toSorted());
    for (const name of serviceNames) {
      const { spec } = named("StatefulSet", name);
      expect(spec).toMatchObject({
        replicas: countOf(name),
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        volumeClaimTemplates: [{ metadata: { name: "data" } }],
      });
      // Its pods have names of this Service.
      expect(podOf(name).metadata.labels).toMatchObject(named("Service", spec.serviceName).spec.selector);
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
    const key = join(folder, "signing-key.jwk");
    await ensureSigningKeyFile(key);
    const files = {
      ...{ KAFKA_SSL_CA_FILE: ca, KAFKA_SASL_PASSWORD_FILE: file, OPERATOR_KEY_FILE: file },
      AUTH_SIGNING_KEY_FILE: key,
    };
    const pods = serviceNames.flatMap((name) =>
      Array.from({ length: countOf(name) }, (_, ordinal) => ({ name, ordinal })),
    );
    for (const { name, ordinal } of pods) {
      const { config } = (await services[name].load()).service;
      const given = environmentOf(name, ordinal);
      expect(given.SERVICE).toBe(name);
      const known = [...["SERVICE", "POD_NAME"], ...Object.keys(config.properties)];
      expect(known).toContainValues(Object.keys(given));
      // In place of the files of the secrets, one that there is here.
      const present = Object.fromEntries(Object.entries(files).filter(([setting]) => setting in given));
      const loaded = loadConfig(config, { ...image, ...given, ...present }, name);
      expect(loaded).toMatchObject({ DATA_DIR: "/data/store", NODE_ENV: "production" });
      const own = overlay === "demo" ? ["redpanda"] : [0, 1, 2].map((n) => `redpanda-${n}.redpanda`);
      const brokers =
        overlay === "production"
          ? [1, 2, 3].map((n) => `broker-${n}.example:9093`)
          : own.map((host) => `${host}:9092`);
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
      for (const { configMap, persistentVolumeClaim: claim } of spec.volumes) {
        if (configMap !== undefined) expect(named("ConfigMap", configMap.name).data).toBeDefined();
        if (claim !== undefined) expect(named("PersistentVolumeClaim", claim.claimName).spec).toBeDefined();
      }
      for (const { command, volumeMounts } of spec.initContainers ?? []) {
        expect(existsSync(join(ROOT, command[1]))).toBe(true);
        for (const mount of volumeMounts) expect(volumes).toContain(mount.name);
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
      for (const container of [containerOf(name), ...(spec.initContainers ?? [])]) {
        expect(container).toMatchObject({
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
      }
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

  if (overlay !== "demo") {
    test("each instance has the settings that npm start -- --replicas gives it", async () => {
      // An issuer signs tokens and publishes the keys; what a bucket needs is in a Secret.
      const elsewhere =
        overlay === "production" ? ["AUTH_SIGNING_KEY_FILE", "AUTH_JWKS_FILE", "SNAPSHOTS"] : [];
      expect(several.length).toBeGreaterThan(0);
      for (const { service, index, settings } of several) {
        const given = environmentOf(service, index);
        const expected = [...settings.keys()].filter((setting) => !elsewhere.includes(setting));
        expect([service, Object.keys(given)]).toEqual([service, expect.arrayContaining(expected)]);
        for (const setting of ["REPLICATION", "ACCEPT"]) {
          expect([service, setting, given[setting]]).toEqual([service, setting, settings.get(setting)]);
        }
        expect([service, given.INSTANCE]).toEqual([
          service,
          settings.has("INSTANCE") ? `${index}` : undefined,
        ]);
        if (!settings.has("SNAPSHOTS")) continue;
        const { config } = (await services[service].load()).service;
        const [, ...names] =
          /^ *# Of a bucket, in a Secret: (.*)\n.*$/m
            .exec(read("components/instances/kustomization.yaml"))?.[1]
            ?.match(/[A-Z][A-Z_]+/g) ?? [];
        expect(containerOf(service).envFrom).toContainEqual({
          secretRef: { name: "snapshots", optional: true },
        });
        expect(names.length).toBeGreaterThan(2);
        expect(Object.keys(config.properties)).toContainValues(names);
      }
    });

    test("keys are the same for all instances of a service, and each gateway writes public keys of its own", () => {
      for (const { service, index, settings } of several) {
        const [one, own] = [environmentOf(service), environmentOf(service, index)];
        for (const setting of ["OPERATOR_KEY_FILE", "AUTH_SIGNING_KEY_FILE", "SNAPSHOTS"]) {
          expect([service, setting, own[setting]]).toEqual([service, setting, one[setting]]);
        }
        if (overlay !== "cluster") continue;
        const written = environmentOf("api-gateway", index).AUTH_JWKS_FILE;
        if (service === "api-gateway") expect(written === one.AUTH_JWKS_FILE).toBe(index === 0);
        else expect(own.AUTH_JWKS_FILE).toBe(environmentOf("api-gateway").AUTH_JWKS_FILE ?? "");
        if (settings.has("AUTH_SIGNING_KEY_FILE")) {
          expect(podOf(service).spec.initContainers[0].command[2]).toBe(own.AUTH_SIGNING_KEY_FILE);
        }
      }
    });

    test("an instance reaches the address of another one of its service, by name and through the network policies", () => {
      const replicated = several.filter(({ settings }) => settings.has("REPLICATION"));
      expect(replicated.length).toBeGreaterThan(0);
      for (const { service, index } of replicated) {
        const { serviceName } = named("StatefulSet", service).spec;
        const { port } = services[service];
        // The DNS name of a pod of a StatefulSet, which a headless Service has.
        expect(environmentOf(service, index).ADVERTISED_URL).toBe(
          `http://${service}-${index}.${serviceName}:${port}`,
        );
        const headless = named("Service", serviceName).spec;
        expect(headless).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true });
        expect(podOf(service).metadata.labels).toMatchObject(headless.selector);
        const own = { podSelector: { matchLabels: headless.selector } };
        expect(named("NetworkPolicy", `${service}-instances`).spec).toEqual({
          ...own,
          policyTypes: ["Ingress", "Egress"],
          ingress: [{ from: [own], ports: [{ port: "http" }] }],
          egress: [{ to: [own], ports: [{ port }] }],
        });
      }
    });

    test("the rights that are granted are those of the instances, and no others", async () => {
      const [, args = ""] =
        /REPLICATION=on bun run access -- apply (--instances \S+),/.exec(
          read("overlays/production/kustomization.yaml"),
        ) ?? [];
      const command = [process.execPath, "scripts/access.ts", "print", ...args.split(" ")];
      const { stdout } = await runToEnd(command, { cwd: ROOT, env: { REPLICATION: "on" } });
      const granted = stdout
        .trim()
        .split("\n")
        .flatMap((line) => {
          const [, principal, operation] = /--allow-principal (\S+) --operation (\S+)/.exec(line) ?? [];
          return [...line.matchAll(/--(topic|group) (\S+)/g)].map(([, resource, name]) => [
            principal,
            { resource, name, operation },
          ]);
        });
      const needed: unknown[] = [];
      for (const name of serviceNames) {
        for (let ordinal = 0; ordinal < countOf(name); ordinal += 1) {
          const rights = await rightsOf(name, environmentOf(name, ordinal));
          needed.push(...rights.map((right) => [`User:${name}`, right]));
        }
      }
      expect(needed).toEqual(expect.arrayContaining(granted));
      expect(granted).toEqual(expect.arrayContaining(needed));
    });

    test("instances are on different nodes, do not wait for each other, and take requests until none is sent", () => {
      for (const { service } of several) {
        expect(named("StatefulSet", service).spec.podManagementPolicy).toBe("Parallel");
        const { topologySpreadConstraints, terminationGracePeriodSeconds } = podOf(service).spec;
        const [nodes, zones] = topologySpreadConstraints;
        expect(nodes).toMatchObject({
          topologyKey: "kubernetes.io/hostname",
          whenUnsatisfiable: "DoNotSchedule",
        });
        expect(zones).toMatchObject({
          topologyKey: "topology.kubernetes.io/zone",
          whenUnsatisfiable: "ScheduleAnyway",
        });
        for (const { maxSkew, labelSelector, matchLabelKeys } of topologySpreadConstraints) {
          expect([maxSkew, matchLabelKeys]).toEqual([1, ["app.kubernetes.io/name"]]);
          expect(podOf(service).metadata.labels).toMatchObject(labelSelector.matchLabels);
        }
        // A stop takes up to ten seconds more.
        expect(environmentOf(service).DRAIN).toBe("5s");
        expect(terminationGracePeriodSeconds).toBeGreaterThanOrEqual(5 + 10);
      }
    });
  }

  if (overlay === "cluster") {
    test("there are three brokers, which know and reach each other, with a replica of each record", () => {
      const { replicas, serviceName, podManagementPolicy, template } = named("StatefulSet", "redpanda").spec;
      expect([replicas, podManagementPolicy]).toEqual([3, "Parallel"]);
      expect(named("Service", serviceName).spec).toMatchObject({
        clusterIP: "None",
        publishNotReadyAddresses: true,
      });
      const [{ args, ports, env }] = template.spec.containers;
      expect(env).toEqual([{ name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }]);
      expect(args).toContain(`--advertise-kafka-addr=internal://$(POD_NAME).${serviceName}:9092`);
      expect(args).toContain(`--advertise-rpc-addr=$(POD_NAME).${serviceName}:33145`);
      const names = [0, 1, 2].map((ordinal) => `redpanda-${ordinal}.${serviceName}`);
      expect(args).toContain(`--seeds=${names.map((name) => `${name}:33145`).join()}`);
      expect(environmentOf("provision")).toMatchObject({
        KAFKA_BROKERS: names.map((name) => `${name}:9092`).join(),
        TOPIC_REPLICATION: "3",
        TOPIC_MIN_INSYNC_REPLICAS: "2",
      });
      const rpc = ports.find(({ name }: { name: string }) => name === "rpc");
      const { ingress, egress } = named("NetworkPolicy", "redpanda-nodes").spec;
      expect([ingress[0].ports, egress[0].ports]).toEqual([[{ port: "rpc" }], [{ port: rpc.containerPort }]]);
    });
  }

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
