package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostAtOnce is how many messages one response of a streaming pull carries at most.
const mostAtOnce = 500

// server is one lock over everything: what it protects is moved in batches.
type server struct {
	pb.UnimplementedPublisherServer
	pb.UnimplementedSubscriberServer

	mu            sync.Mutex
	topics        map[string]*pb.Topic
	subscriptions map[string]*subscription
	published     int
}

func newServer() *server {
	return &server{topics: map[string]*pb.Topic{}, subscriptions: map[string]*subscription{}}
}

func (s *server) CreateTopic(_ context.Context, topic *pb.Topic) (*pb.Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[topic.Name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "topic %s exists", topic.Name)
	}
	s.topics[topic.Name] = topic
	return topic, nil
}

func (s *server) GetTopic(_ context.Context, r *pb.GetTopicRequest) (*pb.Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	topic := s.topics[r.Topic]
	if topic == nil {
		return nil, status.Errorf(codes.NotFound, "no topic %s", r.Topic)
	}
	return topic, nil
}

func (s *server) CreateSubscription(_ context.Context, wanted *pb.Subscription) (*pb.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[wanted.Topic] == nil {
		return nil, status.Errorf(codes.NotFound, "no topic %s", wanted.Topic)
	}
	if s.subscriptions[wanted.Name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "subscription %s exists", wanted.Name)
	}
	if wanted.AckDeadlineSeconds == 0 {
		wanted.AckDeadlineSeconds = 10
	}
	s.subscriptions[wanted.Name] = newSubscription(wanted, &s.mu)
	return wanted, nil
}

func (s *server) GetSubscription(_ context.Context, r *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(r.Subscription)
	if err != nil {
		return nil, err
	}
	return found.is, nil
}

func (s *server) Publish(_ context.Context, r *pb.PublishRequest) (*pb.PublishResponse, error) {
	now := timestamppb.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[r.Topic] == nil {
		return nil, status.Errorf(codes.NotFound, "no topic %s", r.Topic)
	}
	ids := make([]string, len(r.Messages))
	for i, message := range r.Messages {
		s.published++
		message.MessageId = strconv.Itoa(s.published)
		message.PublishTime = now
		ids[i] = message.MessageId
	}
	for _, to := range s.subscriptions {
		if to.is.Topic == r.Topic {
			for _, message := range r.Messages {
				to.add(delivery{message: message})
			}
		}
	}
	return &pb.PublishResponse{MessageIds: ids}, nil
}

func (s *server) Acknowledge(_ context.Context, r *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.find(r.Subscription)
	if err != nil {
		return nil, err
	}
	refused := from.acknowledge(r.AckIds)
	if from.is.EnableExactlyOnceDelivery && len(refused) > 0 {
		return nil, invalid(refused)
	}
	return &emptypb.Empty{}, nil
}

func (s *server) ModifyAckDeadline(_ context.Context, r *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(r.Subscription)
	if err != nil {
		return nil, err
	}
	of.extend(r.AckIds, r.AckDeadlineSeconds)
	return &emptypb.Empty{}, nil
}

func (s *server) StreamingPull(stream pb.Subscriber_StreamingPullServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	s.mu.Lock()
	from, err := s.find(first.Subscription)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	p := from.pull(first)
	go s.hear(stream, p)
	for {
		s.mu.Lock()
		batch := p.next()
		s.mu.Unlock()
		if batch == nil {
			return nil
		}
		response := &pb.StreamingPullResponse{
			ReceivedMessages: batch,
			SubscriptionProperties: &pb.StreamingPullResponse_SubscriptionProperties{
				ExactlyOnceDeliveryEnabled: from.is.EnableExactlyOnceDelivery,
			},
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// hear takes the acknowledgements that come on a stream, and tells its puller when the client has gone.
func (s *server) hear(stream pb.Subscriber_StreamingPullServer, p *puller) {
	for {
		r, err := stream.Recv()
		s.mu.Lock()
		if err != nil {
			p.close()
			s.mu.Unlock()
			return
		}
		p.from.acknowledge(r.AckIds)
		for i, seconds := range r.ModifyDeadlineSeconds {
			p.from.extend(r.ModifyDeadlineAckIds[i:i+1], seconds)
		}
		s.mu.Unlock()
	}
}

// invalid says of each acknowledgement id that its lease was over, as the service does with exactly-once delivery.
func invalid(ids []string) error {
	info := &errdetails.ErrorInfo{Reason: "EXACTLY_ONCE_ACKID_FAILURE", Domain: "pubsub.googleapis.com", Metadata: map[string]string{}}
	for _, id := range ids {
		info.Metadata[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
	}
	refused, err := status.New(codes.FailedPrecondition, "some acknowledgement ids are invalid").WithDetails(info)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return refused.Err()
}

// expire makes messages available again whose deadline has passed.
func (s *server) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range s.subscriptions {
		each.expire(now)
	}
}

func (s *server) find(name string) (*subscription, error) {
	if found := s.subscriptions[name]; found != nil {
		return found, nil
	}
	return nil, status.Errorf(codes.NotFound, "no subscription %s", name)
}
