package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	partitions = 4
	// Of a service. PostgreSQL accepts 100.
	connections = 20
	outboxTopic = "outbox"
	// How soon the forwarder looks again after it has found nothing. Watermill's default is a second.
	outboxPoll = 10 * time.Millisecond
	// Of the metadata of a message: what chooses its partition.
	keyField = "key"
)

var topics = []string{"order.commands", "order.events", "inventory.events"}

// What of a CloudEvent is read.
type event struct {
	ID          string    `json:"id"`
	Specversion string    `json:"specversion"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        orderData `json:"data"`
}

type orderData struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Items      []line `json:"items"`
}

type line struct {
	ProductID string `json:"productId"`
	Quantity  int    `json:"quantity"`
}

// A transaction of a service, and what it publishes once it is committed.
type work struct {
	pgx.Tx
	source string
	outbox message.Publisher
}

// What every service does: its database, its outbox with a forwarder, its inbox.
type node struct {
	name    string
	brokers []string
	pool    *pgxpool.Pool
	admin   sarama.ClusterAdmin
	router  *message.Router
	logger  watermill.LoggerAdapter
	groups  []string
}

// A queue whose messages are deleted: readers of Watermill's other schema wait for every open transaction of the server.
var outboxSchema = watermillsql.PostgreSQLQueueSchema{}

func connect(ctx context.Context, name, postgres string, brokers []string) (*node, error) {
	config, err := pgxpool.ParseConfig(postgres)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err = pool.Exec(ctx, "CREATE TABLE inbox (id text PRIMARY KEY)"); err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdmin(brokers, clientConfig(kafka.DefaultSaramaSyncPublisherConfig()))
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
		// Another service may have created it.
		if err := admin.CreateTopic(topic, detail, false); err != nil && !isExisting(err) {
			return nil, err
		}
	}
	errorsOnly := &slog.HandlerOptions{Level: slog.LevelError}
	logger := watermill.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, errorsOnly)))
	router, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return nil, err
	}
	n := &node{name: name, pool: pool, router: router, admin: admin, logger: logger, brokers: brokers}
	return n, n.forward()
}

func clientConfig(config *sarama.Config) *sarama.Config {
	config.Version = sarama.V2_8_0_0
	return config
}

func isExisting(err error) bool {
	var refusal *sarama.TopicError
	return errors.As(err, &refusal) && refusal.Err == sarama.ErrTopicAlreadyExists
}

// Sends what is in the outbox, in order, and deletes it once the broker has acknowledged it.
func (n *node) forward() error {
	outbox, err := watermillsql.NewSubscriber(watermillsql.BeginnerFromPgx(n.pool), watermillsql.SubscriberConfig{
		SchemaAdapter:  outboxSchema,
		OffsetsAdapter: watermillsql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true},
		PollInterval:   outboxPoll,
	}, n.logger)
	if err != nil {
		return err
	}
	if err = outbox.SubscribeInitialize(outboxTopic); err != nil {
		return err
	}
	config := clientConfig(kafka.DefaultSaramaSyncPublisherConfig())
	config.Producer.RequiredAcks = sarama.WaitForAll
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: n.brokers,
		Marshaler: kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
			return m.Metadata.Get(keyField), nil
		}),
		OverwriteSaramaConfig: config,
	}, n.logger)
	if err != nil {
		return err
	}
	_, err = forwarder.NewForwarder(outbox, publisher, n.logger, forwarder.Config{
		ForwarderTopic: outboxTopic,
		Router:         n.router,
	})
	return err
}

// Ends with an error, or never.
func (n *node) run(ctx context.Context) error {
	if err := n.router.Run(ctx); err != nil {
		return err
	}
	return fmt.Errorf("the router of %s has ended", n.name)
}

// Runs a unit of work. It is on disk when there is no error.
func (n *node) transact(ctx context.Context, do func(*work) error) error {
	return pgx.BeginFunc(ctx, n.pool, func(tx pgx.Tx) error {
		config := watermillsql.PublisherConfig{SchemaAdapter: outboxSchema}
		publisher, err := watermillsql.NewPublisher(watermillsql.TxFromPgx(tx), config, n.logger)
		if err != nil {
			return err
		}
		outbox := forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: outboxTopic})
		return do(&work{tx, n.name, outbox})
	})
}

func (w *work) emit(topic, kind string, data orderData) error {
	id := watermill.NewUUID()
	payload, err := json.Marshal(event{
		ID: id, Specversion: "1.0", Source: w.source, Type: kind, Subject: data.OrderID,
		Time: time.Now().UTC(), ContentType: "application/json", Data: data,
	})
	if err != nil {
		return err
	}
	m := message.NewMessage(id, payload)
	m.Metadata.Set(keyField, data.OrderID)
	return w.outbox.Publish(topic, m)
}

// Handles each message once, in the transaction that claims its id. What handle returns is called after the commit.
func (n *node) consume(topic string, handle func(context.Context, *work, event) (committed func(), err error)) error {
	config := clientConfig(kafka.DefaultSaramaSubscriberConfig())
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	// As in the store's own consumer.
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	group := fmt.Sprintf("watermill.%s.%s", n.name, topic)
	n.groups = append(n.groups, group)
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers:               n.brokers,
		Unmarshaler:           kafka.DefaultMarshaler{},
		OverwriteSaramaConfig: config,
		ConsumerGroup:         group,
	}, n.logger)
	if err != nil {
		return err
	}
	n.router.AddConsumerHandler(group, topic, subscriber, func(m *message.Message) error {
		var received event
		if err := json.Unmarshal(m.Payload, &received); err != nil {
			return err
		}
		committed := func() {}
		err := n.transact(m.Context(), func(w *work) error {
			claim, err := w.Exec(m.Context(), "INSERT INTO inbox VALUES ($1) ON CONFLICT DO NOTHING", received.ID)
			if err != nil || claim.RowsAffected() == 0 {
				return err
			}
			after, err := handle(m.Context(), w, received)
			if after != nil {
				committed = after
			}
			return err
		})
		if err == nil {
			committed()
		}
		return err
	})
	return nil
}

// Ready once every group has its partitions.
func (n *node) readiness(response http.ResponseWriter, _ *http.Request) {
	groups, err := n.admin.DescribeConsumerGroups(n.groups)
	ready := err == nil
	for _, group := range groups {
		ready = ready && group.State == "Stable"
	}
	if !ready {
		response.WriteHeader(http.StatusServiceUnavailable)
	}
}
