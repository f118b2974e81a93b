//! What the connector promises, against librdkafka's own mock cluster and against Kafka itself.
