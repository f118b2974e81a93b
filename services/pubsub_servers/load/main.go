// Serves Pub/Sub from memory, fast: deadlines, flow control and redelivery, but no ordering, exactly-once or seek.
package main

import (
	"time"

	"watershed/services/pubsub_servers/door"
)

// expireEvery is how late a lease that has run out may be noticed. Deadlines are whole seconds, of at least ten.
const expireEvery = 500 * time.Millisecond

func main() {
	server := newServer()
	go func() {
		for now := range time.Tick(expireEvery) {
			server.expire(now)
		}
	}()
	door.Open(server)
}
