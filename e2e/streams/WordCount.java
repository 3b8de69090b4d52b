import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

/**
 * Counts words with Kafka Streams and exactly_once_v2, from an input with aborted transactions. The application is closed and
 * started again without its state. Each word must be counted 1, 2, 3…, each number once; otherwise the program fails.
 * It prints a line for each transaction of the input.
 *
 * Arguments: the brokers, a folder for the state.
 */
public class WordCount {
  static final int LINES = 300;

  public static void main(String[] args) throws Exception {
    String brokers = args[0];
    String stateDir = args[1];
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
      admin.createTopics(List.of(new NewTopic("lines", 3, (short) 1), new NewTopic("counts", 3, (short) 1))).all().get();
    }
    KafkaStreams streams = start(brokers, stateDir + "/1");
    Map<String, Long> expected = produce(brokers, 0);
    waitFor(brokers, expected);
    streams.close(Duration.ofSeconds(30));
    streams = start(brokers, stateDir + "/2");
    produce(brokers, LINES).forEach((word, count) -> expected.merge(word, count, Long::sum));
    waitFor(brokers, expected);
    streams.close(Duration.ofSeconds(30));
    System.out.println("exactly once: " + new TreeMap<>(expected));
  }

  static KafkaStreams start(String brokers, String stateDir) {
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream("lines", Consumed.with(Serdes.String(), Serdes.String()))
        .flatMapValues(line -> Arrays.asList(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
        .count(Materialized.with(Serdes.String(), Serdes.Long()))
        .toStream()
        .to("counts", Produced.with(Serdes.String(), Serdes.Long()));
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "word-count");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    // An application that closes does not leave its group: the next one waits so long.
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6_000);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 1_000);
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.start();
    return streams;
  }

  /** Returns the number of each word in the committed transactions. */
  static Map<String, Long> produce(String brokers, int from) {
    Map<String, Long> words = new HashMap<>();
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "transactional.id", "lines", "linger.ms", 1);
    try (Producer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
      producer.initTransactions();
      for (int line = from; line < from + LINES; line++) {
        if (line % 10 == 0) producer.beginTransaction();
        String text = "word" + line % 7 + " word" + line % 3;
        producer.send(new ProducerRecord<>("lines", "key" + line, text));
        if (line % 10 < 9) continue;
        producer.flush();
        System.out.println("transaction " + line);
        boolean isAborted = line % 30 == 19;
        if (isAborted) {
          producer.abortTransaction();
          continue;
        }
        producer.commitTransaction();
        for (int kept = line - 9; kept <= line; kept++) {
          words.merge("word" + kept % 7, 1L, Long::sum);
          words.merge("word" + kept % 3, 1L, Long::sum);
        }
      }
    }
    return words;
  }

  /** Reads the counts from the beginning until all are there. Fails when one is missing, repeated or too high. */
  static void waitFor(String brokers, Map<String, Long> expected) {
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "group.id", UUID.randomUUID().toString(),
        "auto.offset.reset", "earliest", "isolation.level", "read_committed");
    Map<String, Long> counts = new HashMap<>();
    try (Consumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
      consumer.subscribe(List.of("counts"));
      long deadline = System.currentTimeMillis() + 60_000;
      while (!counts.equals(expected)) {
        if (System.currentTimeMillis() > deadline) throw new IllegalStateException(counts + " of " + expected);
        for (ConsumerRecord<String, Long> record : consumer.poll(Duration.ofMillis(100))) {
          long before = counts.getOrDefault(record.key(), 0L);
          if (record.value() != before + 1) throw new IllegalStateException(record + " after " + before);
          counts.put(record.key(), record.value());
        }
      }
    }
  }
}
