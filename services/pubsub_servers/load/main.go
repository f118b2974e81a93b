// Serves Pub/Sub from memory, fast: deadlines, flow control, redelivery and exactly-once, but no ordering or seek.
package main

import (
	"time"

	"watershed/services/pubsub_servers/door"
)

// expireEvery is how late a lease that has run out may be noticed.
const expireEvery = 200 * time.Millisecond

// orphaned is how long a lease lasts, at most, whose stream has gone: Google's clients ask for a minute, and for that long
// a test would wait for what a killed client held. While its stream is there, a lease lasts as long as was asked for: a
// client extends it in its own time, and would be handed the messages again that it holds.
const orphaned = 3 * time.Second

func main() {
	server := newServer()
	go func() {
		for now := range time.Tick(expireEvery) {
			server.expire(now)
		}
	}()
	door.Open(server)
}
