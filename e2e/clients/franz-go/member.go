package main

import (
	"context"
	"encoding/json"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member consumes a topic in a group, and prints its partitions whenever they change, and each record.
type member struct {
	client     *kgo.Client
	stop       context.CancelFunc
	stopped    chan error
	printing   sync.Mutex
	partitions map[int32]bool
}

func (s *session) join(c command) error {
	m := &member{stopped: make(chan error, 1), partitions: map[int32]bool{}}
	assigned := func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { m.change(topics, true) }
	revoked := func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { m.change(topics, false) }
	client, err := s.connect(
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(assigned),
		kgo.OnPartitionsRevoked(revoked),
		kgo.OnPartitionsLost(revoked),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.client, m.stop = client, cancel
	s.member = m
	go func() { m.stopped <- m.consume(ctx) }()
	return nil
}

func (m *member) consume(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) {
			m.print(answer{"record": answer{"partition": r.Partition, "offset": r.Offset, "value": r.Value}})
		})
		if fetches.NumRecords() > 0 {
			if err := m.client.CommitUncommittedOffsets(context.Background()); err != nil {
				m.print(answer{"failed": err.Error()})
			}
		}
	}
	return nil
}

func (m *member) leave(context.Context) error {
	m.stop()
	err := <-m.stopped
	m.client.Close()
	return err
}

func (m *member) change(topics map[string][]int32, has bool) {
	for _, partitions := range topics {
		for _, partition := range partitions {
			m.partitions[partition] = has
		}
	}
	held := []int{}
	for partition, has := range m.partitions {
		if has {
			held = append(held, int(partition))
		}
	}
	sort.Ints(held)
	m.print(answer{"assigned": held})
}

func (m *member) print(event answer) {
	m.printing.Lock()
	defer m.printing.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(event)
}
