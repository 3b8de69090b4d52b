// The franz-go client of the matrix: it reads commands from the standard input, one JSON object a line, and answers
// each with one. With the arguments `load BROKERS TOPIC PRODUCERS` it is a load generator.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const answerTimeout = 30 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 4 && args[0] == "load" {
		producers, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return load(args[1], args[2], producers)
	}
	if len(args) != 1 {
		return errors.New("usage: franz-go BROKERS, or franz-go load BROKERS TOPIC PRODUCERS")
	}
	return answerCommands(args[0])
}

type header [2]*string

// Bytes are base64, as encoding/json has them.
type record struct {
	Topic     string   `json:"topic,omitempty"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

type command struct {
	Do         string            `json:"do"`
	Topic      string            `json:"topic"`
	Topics     map[string]int32  `json:"topics"`
	Partition  int32             `json:"partition"`
	Partitions int32             `json:"partitions"`
	Codec      string            `json:"codec"`
	Acks       string            `json:"acks"`
	Idempotent bool              `json:"idempotent"`
	Records    []record          `json:"records"`
	Committed  bool              `json:"committed"`
	Configs    map[string]string `json:"configs"`
	Names      []string          `json:"names"`
	Before     int64             `json:"before"`
	Timestamps []int64           `json:"timestamps"`
	Group      string            `json:"group"`
	ID         string            `json:"id"`
	End        string            `json:"end"`
}

type answer map[string]any

type session struct {
	brokers []string
	client  *kgo.Client
	admin   *kadm.Client
	member  *member
}

func answerCommands(brokers string) error {
	out := json.NewEncoder(os.Stdout)
	s := &session{brokers: strings.Split(brokers, ",")}
	client, err := s.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	s.client, s.admin = client, kadm.NewClient(client)
	if err := out.Encode(answer{"client": "franz-go", "version": version()}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		result, err := s.do(ctx, c)
		cancel()
		if err != nil {
			result = answer{"error": codeOf(err)}
		}
		if result == nil {
			result = answer{}
		}
		if err := out.Encode(result); err != nil {
			return err
		}
	}
	return in.Err()
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

// The number that the protocol gives to an error of the broker, the text of any other.
func codeOf(err error) any {
	var broker *kerr.Error
	if errors.As(err, &broker) {
		return broker.Code
	}
	return err.Error()
}

func (s *session) connect(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.brokers...), kgo.ClientID("franz-go")}, options...)...)
}

func (s *session) do(ctx context.Context, c command) (answer, error) {
	switch c.Do {
	case "produce":
		return nil, s.produce(ctx, c)
	case "consume":
		return s.consume(ctx, c)
	case "offsets-for-times":
		return s.offsetsForTimes(ctx, c)
	case "transaction":
		return nil, s.transaction(ctx, c)
	case "fence":
		return nil, s.fence(ctx, c)
	case "join":
		return nil, s.join(c)
	case "leave":
		return nil, s.member.leave(ctx)
	default:
		return s.administer(ctx, c)
	}
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var acks = map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}

func (s *session) produce(ctx context.Context, c command) error {
	options := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[c.Codec]),
		kgo.RequiredAcks(acks[c.Acks]),
	}
	if !c.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	producer, err := s.connect(options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	return producer.ProduceSync(ctx, outgoing(c)...).FirstErr()
}

func outgoing(c command) []*kgo.Record {
	var records []*kgo.Record
	for _, r := range c.Records {
		record := &kgo.Record{Topic: c.Topic, Partition: c.Partition, Key: r.Key, Value: r.Value}
		record.Timestamp = time.UnixMilli(r.Timestamp)
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: *h[0], Value: []byte(*h[1])})
		}
		records = append(records, record)
	}
	return records
}

// consume reads partitions from their beginning to the end that they have now.
func (s *session) consume(ctx context.Context, c command) (answer, error) {
	list := s.admin.ListEndOffsets
	isolation := kgo.ReadUncommitted()
	if c.Committed {
		list = s.admin.ListCommittedOffsets
		isolation = kgo.ReadCommitted()
	}
	partitions := map[string]map[int32]kgo.Offset{}
	left := 0
	var names []string
	for topic := range c.Topics {
		names = append(names, topic)
	}
	ends, err := list(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset == 0 {
			return
		}
		if partitions[end.Topic] == nil {
			partitions[end.Topic] = map[int32]kgo.Offset{}
		}
		partitions[end.Topic][end.Partition] = kgo.NewOffset().AtStart()
		left++
	})
	records := []record{}
	if left == 0 {
		return answer{"records": records}, nil
	}
	// Control records are kept, because a partition may end with one.
	consumer, err := s.connect(kgo.ConsumePartitions(partitions), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	for left > 0 {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset == end.Offset-1 {
				left--
			}
			if !r.Attrs.IsControl() {
				records = append(records, incoming(r))
			}
		})
	}
	return answer{"records": records}, nil
}

func incoming(r *kgo.Record) record {
	headers := []header{}
	for _, h := range r.Headers {
		value := string(h.Value)
		headers = append(headers, header{&h.Key, &value})
	}
	return record{r.Topic, r.Partition, r.Offset, r.Key, r.Value, headers, r.Timestamp.UnixMilli()}
}

func (s *session) offsetsForTimes(ctx context.Context, c command) (answer, error) {
	offsets := []int64{}
	for _, timestamp := range c.Timestamps {
		listed, err := s.admin.ListOffsetsAfterMilli(ctx, timestamp, c.Topic)
		if err != nil {
			return nil, err
		}
		at, _ := listed.Lookup(c.Topic, c.Partition)
		if at.Err != nil {
			return nil, at.Err
		}
		// The end of the log stands in for an offset where no record is that late.
		if at.Timestamp == -1 {
			at.Offset = -1
		}
		offsets = append(offsets, at.Offset)
	}
	return answer{"offsets": offsets}, nil
}
