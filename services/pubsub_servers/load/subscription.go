package main

import (
	"strconv"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// delivery is a message on its way, and how often it has been handed out.
type delivery struct {
	message  *pb.PubsubMessage
	attempts int32
}

// lease is a delivery that a puller holds until it acknowledges or its deadline passes.
type lease struct {
	delivery
	holder   *puller
	deadline time.Time
}

// subscription holds what has not been acknowledged: what waits, in order, and what is leased, by acknowledgement id.
// All methods want the server's lock held.
type subscription struct {
	is      *pb.Subscription
	waiting []delivery
	leased  map[string]*lease
	changed *sync.Cond
	handed  int
}

func newSubscription(is *pb.Subscription, lock *sync.Mutex) *subscription {
	return &subscription{is: is, leased: map[string]*lease{}, changed: sync.NewCond(lock)}
}

func (s *subscription) add(d delivery) {
	s.waiting = append(s.waiting, d)
	s.changed.Broadcast()
}

// acknowledge ends leases for good; gives the ids of those that were over already.
func (s *subscription) acknowledge(ids []string) []string {
	var refused []string
	for _, id := range ids {
		if s.take(id) == nil {
			refused = append(refused, id)
		}
	}
	return refused
}

// extend gives leases that many seconds from now; none gives the messages back.
func (s *subscription) extend(ids []string, seconds int32) {
	for _, id := range ids {
		if seconds > 0 {
			if held := s.leased[id]; held != nil {
				held.deadline = held.holder.deadline(seconds)
			}
		} else if held := s.take(id); held != nil {
			s.add(held.delivery)
		}
	}
}

func (s *subscription) expire(now time.Time) {
	for id, held := range s.leased {
		if now.After(held.deadline) {
			s.take(id)
			s.add(held.delivery)
		}
	}
}

// take ends a lease, if there still is one.
func (s *subscription) take(id string) *lease {
	held := s.leased[id]
	if held != nil {
		delete(s.leased, id)
		held.holder.messages--
		held.holder.bytes -= size(held.message)
		s.changed.Broadcast()
	}
	return held
}

// puller is one streaming pull, with what it holds and how much it may.
type puller struct {
	from            *subscription
	seconds         int32
	messages, bytes int64
	maxMessages     int64
	maxBytes        int64
	closed          bool
}

func (s *subscription) pull(first *pb.StreamingPullRequest) *puller {
	return &puller{
		from:        s,
		seconds:     first.StreamAckDeadlineSeconds,
		maxMessages: first.MaxOutstandingMessages,
		maxBytes:    first.MaxOutstandingBytes,
	}
}

func (p *puller) close() {
	p.closed = true
	last := time.Now().Add(orphaned)
	for _, held := range p.from.leased {
		if held.holder == p && held.deadline.After(last) {
			held.deadline = last
		}
	}
	p.from.changed.Broadcast()
}

// next waits for messages and leases them; gives none once the client has gone.
func (p *puller) next() []*pb.ReceivedMessage {
	for !p.closed && (len(p.from.waiting) == 0 || p.full()) {
		p.from.changed.Wait()
	}
	if p.closed {
		return nil
	}
	until := p.deadline(p.seconds)
	var batch []*pb.ReceivedMessage
	for len(batch) < mostAtOnce && len(p.from.waiting) > 0 && !p.full() {
		next := p.from.waiting[0]
		p.from.waiting = p.from.waiting[1:]
		next.attempts++
		p.from.handed++
		id := strconv.Itoa(p.from.handed)
		p.from.leased[id] = &lease{delivery: next, holder: p, deadline: until}
		p.messages++
		p.bytes += size(next.message)
		batch = append(batch, &pb.ReceivedMessage{AckId: id, Message: next.message, DeliveryAttempt: next.attempts})
	}
	return batch
}

// full says whether flow control holds the stream back; a limit of zero is none.
func (p *puller) full() bool {
	return (p.maxMessages > 0 && p.messages >= p.maxMessages) || (p.maxBytes > 0 && p.bytes >= p.maxBytes)
}

// deadline is that many seconds from now, or as many as a lease lasts once its stream has gone.
func (p *puller) deadline(seconds int32) time.Time {
	lasts := time.Duration(seconds) * time.Second
	if p.closed {
		lasts = min(lasts, orphaned)
	}
	return time.Now().Add(lasts)
}

func size(message *pb.PubsubMessage) int64 {
	return int64(len(message.Data))
}
