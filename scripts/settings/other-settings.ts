/* Environment variables that are not in the configuration of a service. The test beside this compares them with what the sources read. */

interface Setting {
  readonly name: string;
  readonly readBy: string;
  readonly value: string;
  readonly default: string;
  readonly meaning: string;
}

/** What the embedded broker reads of the settings of the services, each with the same meaning. */
export const readByBroker: readonly string[] = ["BROKER_PORT", "DATA_DIR", "KAFKA_BROKERS", "LOG_LEVEL"];

export const otherSettings: readonly Setting[] = [
  {
    name: "AUTO_CREATE_TOPICS",
    readBy: "broker",
    value: "true or false",
    default: "false",
    meaning: "the embedded broker creates a topic when a client asks for its metadata",
  },
  {
    name: "API_GATEWAY_URL",
    readBy: "post-order",
    value: "a URL",
    default: "HOST and API_GATEWAY_PORT",
    meaning: "the gateway of another machine; --gateway overrides it",
  },
  {
    name: "TOKEN",
    readBy: "dead-letters, effects, keys, outbox, partitions, rebuild",
    value: "a token",
    default: "",
    meaning: "an admin's token; --token overrides it, and without both the operators' key signs one",
  },
  {
    name: "NO_COLOR",
    readBy: "start, test, chaos, simulate, rebuild",
    value: "any text",
    default: "",
    meaning: "no colours, and no line that is written over (https://no-color.org)",
  },
  {
    name: "SERVICE",
    readBy: "the container image",
    value: "the name of a service",
    default: "",
    meaning: "the service that a container runs and whose health it checks",
  },
  {
    name: "SLOW_TESTS",
    readBy: "tests",
    value: "true",
    default: "",
    meaning: "the slow tests run, too",
  },
  {
    name: "CHROMIUM_PATH",
    readBy: "tests, screenshots",
    value: "a path",
    default: "found on PATH",
    meaning: "the browser of the tests of the page",
  },
  {
    name: "KCAT_PATH",
    readBy: "tests",
    value: "a path",
    default: "found on PATH",
    meaning: "the command kcat, whose librdkafka is tested on the embedded broker",
  },
  {
    name: "PROMETHEUS_PATH",
    readBy: "tests",
    value: "a path",
    default: "found on PATH",
    meaning: "the Prometheus that scrapes the services and evaluates the alerts in tests",
  },
  {
    name: "PROMTOOL_PATH",
    readBy: "tests",
    value: "a path",
    default: "found on PATH",
    meaning: "Prometheus' promtool, which checks metrics, alerts and dashboards",
  },
  {
    name: "ALERTMANAGER_PATH",
    readBy: "tests",
    value: "a path",
    default: "found on PATH",
    meaning: "the Alertmanager that the alerts are sent to in tests",
  },
  {
    name: "HAPROXY_PATH",
    readBy: "tests",
    value: "a path",
    default: "found on PATH",
    meaning: "the HAProxy in front of several instances in tests",
  },
  {
    name: "JAVA_HOME",
    readBy: "start-apache-kafka, tests",
    value: "a path",
    default: "found on PATH",
    meaning: "the Java that runs Apache Kafka",
  },
  {
    name: "FUZZ_SEED",
    readBy: "tests",
    value: "an integer",
    default: "a new one for each run",
    meaning: "repeats a run with random records, requests or orders",
  },
  {
    name: "FUZZ_RECORDS",
    readBy: "tests",
    value: "an integer",
    default: "by the test",
    meaning: "how many random records a test writes",
  },
  {
    name: "PROPERTY_RUNS",
    readBy: "tests",
    value: "an integer",
    default: "by the test",
    meaning: "how many cases a test of a property tries",
  },
  {
    name: "DOCUMENT_PICTURES",
    readBy: "tests",
    value: "a path",
    default: "",
    meaning: "a folder for pictures of the pages of the documents",
  },
  {
    name: "BROWSER_FIRST",
    readBy: "tests",
    value: "true",
    default: "",
    meaning:
      "the map is measured with the store at the lowest priority, as if the browser had cores of its own",
  },
  {
    name: "WHOLE_COPY",
    readBy: "tests",
    value: "true",
    default: "",
    meaning: "the tests of new-service run every test in a copy of the repository with a fifth service",
  },
];
