// Serves Google's own fake of Pub/Sub, which is true to the protocol but hands out only a hundred messages a second.
package main

import (
	"cloud.google.com/go/pubsub/v2/pstest"

	"watershed/services/pubsub_servers/door"
)

func main() {
	door.Open(&pstest.NewServer().GServer)
}
