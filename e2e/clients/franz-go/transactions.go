package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (s *session) transactional(c command) (*kgo.Client, error) {
	return s.connect(kgo.TransactionalID(c.ID), kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

func (s *session) transaction(ctx context.Context, c command) error {
	producer, err := s.transactional(c)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	if err := producer.ProduceSync(ctx, outgoing(c)...).FirstErr(); err != nil {
		return err
	}
	return producer.EndTransaction(ctx, kgo.TransactionEndTry(c.End == "commit"))
}

// fence commits with a producer after another one has taken its transactional id: the error is the answer.
func (s *session) fence(ctx context.Context, c command) error {
	older, err := s.transactional(c)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := older.BeginTransaction(); err != nil {
		return err
	}
	if err := older.ProduceSync(ctx, outgoing(c)...).FirstErr(); err != nil {
		return err
	}
	newer := c
	newer.End = "commit"
	if err := s.transaction(ctx, newer); err != nil {
		return err
	}
	return older.EndTransaction(ctx, kgo.TryCommit)
}
