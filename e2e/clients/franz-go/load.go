package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load produces to every partition of a topic as fast as the broker acknowledges, with idempotent producers and
// acks=all, and prints a line `partition offset value` for each record after it was acknowledged. A record is tried
// until it is stored, whatever happens to the broker. The end of the standard input ends the load; the records that are
// then on their way have ten seconds. A record that failed for good is a line on the standard error.
func load(brokers, topic string, producers int) error {
	const flushTimeout = 10 * time.Second
	acknowledged := make(chan *kgo.Record, 1<<14)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		printAcknowledged(acknowledged)
	}()
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var running sync.WaitGroup
	var failure error
	var once sync.Once
	for number := range producers {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(strings.Split(brokers, ",")...),
			kgo.ClientID(fmt.Sprintf("load-%d", number)),
			kgo.DefaultProduceTopic(topic),
			kgo.RequiredAcks(kgo.AllISRAcks()),
			kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
			kgo.UnknownTopicRetries(-1),
			kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		)
		if err != nil {
			return err
		}
		running.Go(func() {
			defer client.Close()
			promise := func(record *kgo.Record, err error) {
				if err == nil {
					acknowledged <- record
				} else if ctx.Err() == nil {
					fmt.Fprintf(os.Stderr, "%s: %v\n", record.Value, err)
					once.Do(func() { failure = fmt.Errorf("a record failed: %w", err) })
				}
			}
			for sequence := 0; ctx.Err() == nil; sequence++ {
				// A full buffer blocks here until records are acknowledged, or the load ends.
				client.Produce(ctx, &kgo.Record{Value: fmt.Appendf(nil, "%d-%d", number, sequence)}, promise)
			}
			flushing, cancel := context.WithTimeout(context.Background(), flushTimeout)
			defer cancel()
			_ = client.Flush(flushing)
		})
	}
	running.Wait()
	close(acknowledged)
	<-printed
	return failure
}

func printAcknowledged(records <-chan *kgo.Record) {
	out := bufio.NewWriter(os.Stdout)
	for record := range records {
		fmt.Fprintf(out, "%d %d %s\n", record.Partition, record.Offset, record.Value)
		if len(records) == 0 {
			out.Flush()
		}
	}
	out.Flush()
}
