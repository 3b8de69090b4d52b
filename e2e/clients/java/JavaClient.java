import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * The Java client of the matrix: it reads commands from the standard input, one JSON object a line, and answers each
 * with one.
 */
public final class JavaClient {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  private final String brokers;
  private final Admin admin;
  private Member member;

  private JavaClient(String brokers) {
    this.brokers = brokers;
    this.admin = Admin.create(settings(Map.of()));
  }

  public static void main(String[] args) throws IOException {
    JavaClient client = new JavaClient(args[0]);
    print(JSON.createObjectNode().put("client", "java").put("version", AppInfoParser.getVersion()));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode command = JSON.readTree(line);
      ObjectNode answer = JSON.createObjectNode();
      try {
        client.run(command, answer);
      } catch (Exception error) {
        answer = JSON.createObjectNode();
        Optional<Short> code = codeOf(error);
        if (code.isPresent()) answer.put("error", code.get());
        else answer.put("error", error.toString());
      }
      print(answer);
    }
    client.admin.close();
  }

  private static synchronized void print(ObjectNode answer) {
    System.out.println(answer);
    System.out.flush();
  }

  /** The number that the protocol gives to an error of the broker; nothing for any other error. */
  private static Optional<Short> codeOf(Throwable error) {
    Throwable cause = error;
    while (cause.getCause() != null && !(cause instanceof ApiException)) cause = cause.getCause();
    Errors known = Errors.forException(cause);
    return known == Errors.UNKNOWN_SERVER_ERROR ? Optional.empty() : Optional.of(known.code());
  }

  private Map<String, Object> settings(Map<String, Object> more) {
    Map<String, Object> settings = new HashMap<>(more);
    settings.put("bootstrap.servers", brokers);
    settings.put("client.id", "java");
    return settings;
  }

  private void run(JsonNode command, ObjectNode answer) throws Exception {
    String topic = command.path("topic").asText();
    String group = command.path("group").asText();
    TopicPartition partition = new TopicPartition(topic, command.path("partition").asInt());
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    switch (command.get("do").asText()) {
      case "produce" -> produce(command);
      case "consume" -> consume(command, answer);
      case "offsets-for-times" -> offsetsForTimes(command, partition, answer);
      case "transaction" -> transaction(command);
      case "fence" -> fence(command);
      case "join" -> member = new Member(command);
      case "leave" -> member.leave();
      case "create-topic" -> {
        NewTopic topicToCreate = new NewTopic(topic, command.get("partitions").asInt(), (short) 1);
        admin.createTopics(List.of(topicToCreate.configs(strings(command.get("configs"))))).all().get();
      }
      case "delete-topic" -> admin.deleteTopics(List.of(topic)).all().get();
      case "describe-topic" -> {
        int partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        answer.put("partitions", partitions);
      }
      case "describe-configs" -> {
        Config described = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        ObjectNode configs = answer.putObject("configs");
        for (JsonNode name : command.get("names")) {
          ConfigEntry entry = described.get(name.asText());
          if (entry != null) configs.put(entry.name(), entry.value());
        }
      }
      case "alter-configs" -> {
        List<AlterConfigOp> changes = new ArrayList<>();
        strings(command.get("configs")).forEach(
            (name, value) -> changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
      }
      case "create-partitions" -> {
        NewPartitions partitions = NewPartitions.increaseTo(command.get("partitions").asInt());
        admin.createPartitions(Map.of(topic, partitions)).all().get();
      }
      case "delete-records" -> {
        RecordsToDelete before = RecordsToDelete.beforeOffset(command.get("before").asLong());
        var deleted = admin.deleteRecords(Map.of(partition, before)).lowWatermarks().get(partition).get();
        answer.put("low", deleted.lowWatermark());
      }
      case "list-groups" -> {
        ArrayNode groups = answer.putArray("groups");
        admin.listGroups().all().get().forEach(listed -> groups.add(listed.groupId()));
      }
      case "describe-group" -> {
        ConsumerGroupDescription described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        answer.put("state", described.groupState().toString()).put("members", described.members().size());
      }
      case "delete-group" -> admin.deleteConsumerGroups(List.of(group)).all().get();
      case "delete-offsets" -> admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
      case "committed" -> {
        Map<TopicPartition, OffsetAndMetadata> committed =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        ArrayNode offsets = answer.putArray("offsets");
        for (int number = 0; number < command.get("partitions").asInt(); number++) {
          OffsetAndMetadata offset = committed.get(new TopicPartition(topic, number));
          offsets.add(offset == null ? -1 : offset.offset());
        }
      }
      default -> throw new IllegalArgumentException("unknown command " + command);
    }
  }

  private static Map<String, String> strings(JsonNode object) {
    Map<String, String> strings = new HashMap<>();
    object.properties().forEach(field -> strings.put(field.getKey(), field.getValue().asText()));
    return strings;
  }

  private KafkaProducer<byte[], byte[]> producer(Map<String, Object> more) {
    return new KafkaProducer<>(settings(more), new ByteArraySerializer(), new ByteArraySerializer());
  }

  private void produce(JsonNode command) throws Exception {
    Map<String, Object> more = Map.of(
        "compression.type", command.get("codec").asText(),
        "acks", command.get("acks").asText(),
        "enable.idempotence", command.get("idempotent").asBoolean(),
        "linger.ms", 50,
        "batch.size", 1_000_000);
    try (KafkaProducer<byte[], byte[]> producer = producer(more)) {
      send(producer, command);
    }
  }

  private static void send(KafkaProducer<byte[], byte[]> producer, JsonNode command) throws Exception {
    List<Future<?>> sent = new ArrayList<>();
    for (JsonNode each : command.get("records")) {
      ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
          command.get("topic").asText(),
          command.get("partition").asInt(),
          each.get("timestamp").asLong(),
          bytes(each.get("key")),
          bytes(each.get("value")));
      for (JsonNode header : each.get("headers")) {
        record.headers().add(header.get(0).asText(), header.get(1).asText().getBytes(StandardCharsets.UTF_8));
      }
      sent.add(producer.send(record));
    }
    producer.flush();
    for (Future<?> future : sent) future.get();
  }

  private static byte[] bytes(JsonNode text) {
    return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
  }

  private static String text(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }

  private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
    return new KafkaConsumer<>(settings(more), new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  /** Reads partitions from their beginning to the end that they have now. */
  private void consume(JsonNode command, ObjectNode answer) {
    ArrayNode records = answer.putArray("records");
    String level = command.get("committed").asBoolean() ? "read_committed" : "read_uncommitted";
    List<TopicPartition> partitions = new ArrayList<>();
    command.get("topics").properties().forEach(topic -> {
      for (int number = 0; number < topic.getValue().asInt(); number++) {
        partitions.add(new TopicPartition(topic.getKey(), number));
      }
    });
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("isolation.level", level))) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          ObjectNode node = records.addObject()
              .put("topic", record.topic())
              .put("partition", record.partition())
              .put("offset", record.offset())
              .put("key", text(record.key()))
              .put("value", text(record.value()))
              .put("timestamp", record.timestamp());
          ArrayNode headers = node.putArray("headers");
          for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(new String(header.value(), StandardCharsets.UTF_8));
          }
        }
      }
    }
  }

  private void offsetsForTimes(JsonNode command, TopicPartition partition, ObjectNode answer) {
    ArrayNode offsets = answer.putArray("offsets");
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      for (JsonNode timestamp : command.get("timestamps")) {
        OffsetAndTimestamp found =
            consumer.offsetsForTimes(Map.of(partition, timestamp.asLong()), TIMEOUT).get(partition);
        offsets.add(found == null ? -1 : found.offset());
      }
    }
  }

  private KafkaProducer<byte[], byte[]> transactional(JsonNode command) {
    KafkaProducer<byte[], byte[]> producer = producer(Map.of("transactional.id", command.get("id").asText()));
    producer.initTransactions();
    return producer;
  }

  private void transaction(JsonNode command) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = transactional(command)) {
      producer.beginTransaction();
      send(producer, command);
      if (command.get("end").asText().equals("commit")) producer.commitTransaction();
      else producer.abortTransaction();
    }
  }

  /** Commits with a producer after another one has taken its transactional id: the error is the answer. */
  private void fence(JsonNode command) throws Exception {
    try (KafkaProducer<byte[], byte[]> older = transactional(command)) {
      older.beginTransaction();
      send(older, command);
      transaction(((ObjectNode) command.deepCopy()).put("end", "commit"));
      older.commitTransaction();
    }
  }

  /** Consumes a topic in a group, and prints its partitions whenever they change, and each record. */
  private final class Member implements ConsumerRebalanceListener {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final TreeSet<Integer> held = new TreeSet<>();
    private final Thread thread = new Thread(this::consume);
    private volatile boolean leaving;

    Member(JsonNode command) {
      consumer = consumer(Map.of(
          "group.id", command.get("group").asText(),
          "auto.offset.reset", "earliest",
          "enable.auto.commit", false,
          "session.timeout.ms", 6_000,
          "heartbeat.interval.ms", 500));
      consumer.subscribe(List.of(command.get("topic").asText()), this);
      thread.start();
    }

    void leave() throws InterruptedException {
      leaving = true;
      thread.join();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      for (TopicPartition partition : partitions) held.add(partition.partition());
      printHeld();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      for (TopicPartition partition : partitions) held.remove(partition.partition());
      printHeld();
    }

    private void printHeld() {
      ObjectNode event = JSON.createObjectNode();
      held.forEach(event.putArray("assigned")::add);
      print(event);
    }

    private void consume() {
      while (!leaving) {
        var records = consumer.poll(Duration.ofMillis(100));
        for (ConsumerRecord<byte[], byte[]> record : records) {
          ObjectNode event = JSON.createObjectNode();
          event.putObject("record")
              .put("partition", record.partition())
              .put("offset", record.offset())
              .put("value", text(record.value()));
          print(event);
        }
        try {
          if (!records.isEmpty()) consumer.commitSync();
        } catch (KafkaException duringRebalance) {
          // The next owner of the partition gets the records again.
        }
      }
      consumer.close();
    }
  }
}
