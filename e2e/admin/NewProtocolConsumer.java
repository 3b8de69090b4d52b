import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** Joins a group of the protocol of KIP-848, and prints the error. usage: NewProtocolConsumer BROKERS TOPIC */
public class NewProtocolConsumer {
  private static final String STRINGS = "org.apache.kafka.common.serialization.StringDeserializer";

  public static void main(String[] args) {
    var settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("group.id", "new-protocol");
    settings.put("group.protocol", "consumer");
    settings.put("key.deserializer", STRINGS);
    settings.put("value.deserializer", STRINGS);
    try (var consumer = new KafkaConsumer<String, String>(settings)) {
      consumer.subscribe(List.of(args[1]));
      while (true) consumer.poll(Duration.ofSeconds(1));
    } catch (Exception error) {
      System.out.println(error);
    }
  }
}
