import { join } from "node:path";
import { kcat as kcatTool, provideTools } from "../support/test-tools.ts";
import type { WriterLimits } from "./records.ts";
import { buildGoModule, buildJavaClient, buildPythonEnvironment, ClientMissing } from "./toolchains.ts";

/** A client of the matrix, which a machine may lack. */
export interface MatrixClient {
  readonly name: string;
  /** As the table of the README has it. */
  readonly title: string;
  readonly limits?: WriterLimits;
  /** Builds it. @throws ClientMissing, ApacheKafkaMissing */
  readonly provide: () => Promise<{
    readonly command: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  }>;
}

export const matrixClients: readonly MatrixClient[] = [
  {
    name: "franz-go",
    title: "franz-go (Go)",
    provide: async () => ({ command: [await buildGoModule(join(import.meta.dir, "franz-go"))] }),
  },
  {
    name: "kafkajs",
    title: "kafkajs (Bun)",
    provide: () => javascript("kafkajs.ts"),
  },
  {
    name: "platformatic",
    title: "@platformatic/kafka (Bun)",
    provide: () => javascript("platformatic.ts"),
  },
  {
    name: "java",
    title: "kafka-clients (Java)",
    provide: async () => ({ command: await buildJavaClient() }),
  },
  {
    name: "confluent-kafka",
    title: "confluent-kafka (Python, librdkafka)",
    provide: () => python("confluent_kafka_client.py"),
  },
  {
    name: "kcat",
    title: "kcat (librdkafka)",
    limits: { headers: false, timestamps: false },
    provide: kcat,
  },
  {
    name: "aiokafka",
    title: "aiokafka (Python)",
    provide: () => python("aiokafka_client.py"),
  },
  {
    name: "kafka-python",
    title: "kafka-python (Python)",
    provide: () => python("kafka_python_client.py"),
  },
];

/** Installs Debian's package where it can. */
async function kcat() {
  const [found] = await provideTools([kcatTool], process.env, () => {});
  const path = found?.path;
  if (path === undefined) throw new ClientMissing(found?.problem ?? "not installed");
  const { command } = await javascript("kcat.ts");
  return { command: [...command, path] };
}

async function javascript(file: string) {
  return { command: [process.execPath, join(import.meta.dir, "javascript", file)] };
}

async function python(file: string) {
  return {
    command: [await buildPythonEnvironment(), join(import.meta.dir, "python", file)],
    env: { PYTHONDONTWRITEBYTECODE: "1" },
  };
}
