package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

func (s *session) administer(ctx context.Context, c command) (answer, error) {
	switch c.Do {
	case "create-topic":
		configs := map[string]*string{}
		for name, value := range c.Configs {
			configs[name] = &value
		}
		_, err := s.admin.CreateTopic(ctx, c.Partitions, 1, configs, c.Topic)
		return nil, err
	case "delete-topic":
		_, err := s.admin.DeleteTopic(ctx, c.Topic)
		return nil, err
	case "describe-topic":
		topics, err := s.admin.ListTopics(ctx, c.Topic)
		if err != nil {
			return nil, err
		}
		topic := topics[c.Topic]
		return answer{"partitions": len(topic.Partitions)}, topic.Err
	case "describe-configs":
		return s.describeConfigs(ctx, c)
	case "alter-configs":
		var changes []kadm.AlterConfig
		for name, value := range c.Configs {
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
		responses, err := s.admin.AlterTopicConfigs(ctx, changes, c.Topic)
		if err != nil {
			return nil, err
		}
		response, err := responses.On(c.Topic, nil)
		if err != nil {
			return nil, err
		}
		return nil, response.Err
	case "create-partitions":
		responses, err := s.admin.UpdatePartitions(ctx, int(c.Partitions), c.Topic)
		if err != nil {
			return nil, err
		}
		return nil, responses[c.Topic].Err
	case "delete-records":
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: c.Topic, Partition: c.Partition, At: c.Before})
		responses, err := s.admin.DeleteRecords(ctx, offsets)
		if err != nil {
			return nil, err
		}
		response, _ := responses.Lookup(c.Topic, c.Partition)
		return answer{"low": response.LowWatermark}, response.Err
	case "list-groups":
		groups, err := s.admin.ListGroups(ctx)
		return answer{"groups": groups.Groups()}, err
	case "describe-group":
		groups, err := s.admin.DescribeGroups(ctx, c.Group)
		if err != nil {
			return nil, err
		}
		group := groups[c.Group]
		return answer{"state": group.State, "members": len(group.Members)}, group.Err
	case "delete-group":
		_, err := s.admin.DeleteGroup(ctx, c.Group)
		return nil, err
	case "delete-offsets":
		topics := kadm.TopicsSet{}
		topics.Add(c.Topic, c.Partition)
		responses, err := s.admin.DeleteOffsets(ctx, c.Group, topics)
		if err != nil {
			return nil, err
		}
		failed, _ := responses.Lookup(c.Topic, c.Partition)
		return nil, failed
	case "committed":
		return s.committed(ctx, c)
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

func (s *session) describeConfigs(ctx context.Context, c command) (answer, error) {
	described, err := s.admin.DescribeTopicConfigs(ctx, c.Topic)
	if err != nil {
		return nil, err
	}
	resource, err := described.On(c.Topic, nil)
	if err != nil {
		return nil, err
	}
	if resource.Err != nil {
		return nil, resource.Err
	}
	wanted := map[string]bool{}
	for _, name := range c.Names {
		wanted[name] = true
	}
	configs := map[string]string{}
	for _, config := range resource.Configs {
		if wanted[config.Key] {
			configs[config.Key] = config.MaybeValue()
		}
	}
	return answer{"configs": configs}, nil
}

func (s *session) committed(ctx context.Context, c command) (answer, error) {
	responses, err := s.admin.FetchOffsets(ctx, c.Group)
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, c.Partitions)
	for partition := range offsets {
		offsets[partition] = -1
		if response, ok := responses.Lookup(c.Topic, int32(partition)); ok {
			if response.Err != nil {
				return nil, response.Err
			}
			offsets[partition] = response.At
		}
	}
	return answer{"offsets": offsets}, nil
}
