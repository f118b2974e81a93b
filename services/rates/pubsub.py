"""Pub/Sub, from the load server."""

import itertools
import queue
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import (
    PublishRequest,
    PubsubMessage,
    StreamingPullRequest,
    StreamingPullResponse,
    Subscription,
    Topic,
)

from ..pubsub import PubSubLoad
from .stream import Stream

BATCH = 1_000
STREAMS = 4
TOPIC = "projects/bench/topics/orders"


class PubSubStream(Stream):
    name = "pubsub, load server"
    max_delay = "1day"

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def server(self) -> PubSubLoad:
        return PubSubLoad()

    def fill(self, records: list[bytes]) -> None:
        self.records = records
        unbounded = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(self.running.address, options=unbounded)
        self._publisher = PublisherGrpcTransport(channel=channel)
        self._subscriber = SubscriberGrpcTransport(channel=channel)
        self._publisher.create_topic(Topic(name=TOPIC))

    def again(self) -> None:
        """What was acknowledged does not come again: a subscription of its own for each run, and the messages anew."""
        self._subscription = f"orders-{next(self._numbers)}"
        name = f"projects/bench/subscriptions/{self._subscription}"
        self._subscriber.create_subscription(Subscription(name=name, topic=TOPIC, ack_deadline_seconds=60))
        for start in range(0, len(self.records), BATCH):
            messages = [PubsubMessage(data=record) for record in self.records[start : start + BATCH]]
            self._publisher.publish(PublishRequest(topic=TOPIC, messages=messages))

    def source(self) -> str:
        return f"""
connector = "pubsub"
project = "bench"
subscription = "{self._subscription}"
endpoint = "http://{self.running.address}"
streams = {STREAMS}"""

    def bare(self) -> int:
        """gRPC in Python, whose core is C: pulls, counts and acknowledges."""
        seen, whole = itertools.count(1), len(self.records)
        ended: list[grpc.Call] = []

        def pull(_: int) -> None:
            answers: queue.SimpleQueue = queue.SimpleQueue()
            name = f"projects/bench/subscriptions/{self._subscription}"
            answers.put(StreamingPullRequest(subscription=name, stream_ack_deadline_seconds=60))
            call = self._subscriber.streaming_pull(iter(answers.get, None))
            ended.append(call)
            try:
                for response in call:
                    received = StreamingPullResponse.pb(response).received_messages
                    answers.put(StreamingPullRequest(ack_ids=[message.ack_id for message in received]))
                    if any(next(seen) == whole for _ in received):
                        for other in ended:
                            other.cancel()
            except grpc.RpcError:
                pass  # Cancelled: all is there.

        with ThreadPoolExecutor(STREAMS) as pool:
            list(pool.map(pull, range(STREAMS)))
        return whole
