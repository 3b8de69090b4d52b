import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** Does what an administrator does, and prints the answers, a line for each. usage: Administrator BROKERS */
public class Administrator {
  private static final String TOPIC = "java-topic";
  private static final ConfigResource RESOURCE = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
  private static final TopicPartition PARTITION = new TopicPartition(TOPIC, 1);

  public static void main(String[] args) throws Exception {
    try (var admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
      print("create", admin.createTopics(List.of(new NewTopic(TOPIC, 3, (short) 1))).all());
      for (int tries = 0; tries < 100 && !admin.listTopics().names().get().contains(TOPIC); tries++) Thread.sleep(100);
      var topic = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC);
      topic.partitions().forEach(partition -> {
        var nodes = List.of(partition.leader().id(), partition.replicas().size(), partition.isr().size());
        System.out.println("partition " + partition.partition() + ": " + nodes);
      });
      print("describe none", admin.describeTopics(List.of("missing")).allTopicNames());
      print("set", alter(admin, OpType.SET, "retention.ms", "1234"));
      print("append", alter(admin, OpType.APPEND, "cleanup.policy", "compact"));
      print("set an invalid value", alter(admin, OpType.SET, "retention.ms", "soon"));
      print("append to a number", alter(admin, OpType.APPEND, "retention.ms", "1"));
      printConfigs(admin);
      print("subtract", alter(admin, OpType.SUBTRACT, "cleanup.policy", "compact"));
      print("delete", alter(admin, OpType.DELETE, "retention.ms", ""));
      printConfigs(admin);
      var offsets = Map.of(PARTITION, new OffsetAndMetadata(0));
      print("commit", admin.alterConsumerGroupOffsets("java-group", offsets).all());
      print("offsets", admin.listConsumerGroupOffsets("java-group").partitionsToOffsetAndMetadata());
      print("delete offsets", admin.deleteConsumerGroupOffsets("java-group", Set.of(PARTITION)).all());
      print("offsets", admin.listConsumerGroupOffsets("java-group").partitionsToOffsetAndMetadata());
      print("delete offsets of none", admin.deleteConsumerGroupOffsets("no-group", Set.of(PARTITION)).all());
      var nodes = new ArrayList<Integer>();
      for (var node : admin.describeCluster().nodes().get()) nodes.add(node.id());
      var directories = admin.describeLogDirs(nodes).allDescriptions().get().values();
      for (var descriptions : directories) {
        for (var directory : descriptions.values()) {
          var sizes = new TreeMap<String, Long>();
          directory.replicaInfos().forEach((partition, replica) -> {
            if (partition.topic().equals(TOPIC)) sizes.put(partition.toString(), replica.size());
          });
          System.out.println("directory: " + directory.error() + " " + sizes);
        }
      }
    }
  }

  private static KafkaFuture<Void> alter(Admin admin, OpType operation, String name, String value) {
    Collection<AlterConfigOp> operations = List.of(new AlterConfigOp(new ConfigEntry(name, value), operation));
    return admin.incrementalAlterConfigs(Map.of(RESOURCE, operations)).all();
  }

  private static void printConfigs(Admin admin) throws Exception {
    for (var name : List.of("cleanup.policy", "retention.ms")) {
      var entry = admin.describeConfigs(List.of(RESOURCE)).all().get().get(RESOURCE).get(name);
      var kind = entry.isDefault() ? "default" : "not default";
      System.out.println(name + ": " + entry.value() + " " + entry.source() + " " + entry.type() + " " + kind);
    }
  }

  private static void print(String what, KafkaFuture<?> answer) throws InterruptedException {
    try {
      System.out.println(what + ": " + answer.get());
    } catch (ExecutionException error) {
      System.out.println(what + ": " + error.getCause().getClass().getSimpleName());
    }
  }
}
