// Serves Pub/Sub from memory, fast: deadlines, flow control and redelivery, but no ordering, exactly-once or seek.
package main

import (
	"time"

	"watershed/services/pubsub_servers/door"
)

// expireEvery is how late a lease that has run out may be noticed.
const expireEvery = 200 * time.Millisecond

// longestLease bounds every deadline, whatever a client asks for: Google's clients ask for a minute, and for that long a
// test would wait for what a killed client held.
const longestLease = 3 * time.Second

func main() {
	server := newServer()
	go func() {
		for now := range time.Tick(expireEvery) {
			server.expire(now)
		}
	}()
	door.Open(server)
}
