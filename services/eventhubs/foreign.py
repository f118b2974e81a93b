"""Proves the double by a client that is not ours: Microsoft's `azure-eventhub` for Python sends, reads and asks.

    python foreign.py ADDRESS          with azure-eventhub 5.15 or later
"""

import sys
from threading import Thread

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import ConnectError, EventHubError

EVENTS = 1000


def connection_string(address: str, policy: str = "all") -> str:
    return f"Endpoint=sb://{address};SharedAccessKeyName={policy};SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"


def consumer(address: str, group: str = "$Default", **more) -> EventHubConsumerClient:
    return EventHubConsumerClient.from_connection_string(
        connection_string(address, more.pop("policy", "all")),
        consumer_group=group,
        eventhub_name=more.pop("hub", "hub"),
        retry_total=0,
        **more,
    )


def send(address: str) -> None:
    with EventHubProducerClient.from_connection_string(connection_string(address), eventhub_name="hub") as producer:
        for start in range(0, EVENTS, 100):
            batch = producer.create_batch(partition_id="0")
            for number in range(start, start + 100):
                event = EventData(f"event {number}")
                event.properties = {"number": str(number)}
                batch.add(event)
            producer.send_batch(batch)
        keyed = producer.create_batch(partition_key="a key")
        keyed.add(EventData("keyed"))
        producer.send_batch(keyed)


def read(address: str, partition: str, count: int, **options) -> list:
    """The first `count` events that a receiver with these options gets."""
    events, client = [], consumer(address)

    def take(_context, event):
        events.append(event)
        if len(events) == count:
            client.close()

    thread = Thread(target=client.receive, args=(take,), kwargs={"partition_id": partition, **options}, daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert len(events) == count, f"{len(events)} events, not {count}"
    return events


def refusal(client: EventHubConsumerClient, **options) -> str:
    """What a receiver is told that is not let in."""
    errors = []

    def fail(_context, error):
        errors.append(error)
        client.close()

    thread = Thread(
        target=client.receive,
        args=(lambda *_: None,),
        kwargs={"partition_id": "0", "on_error": fail, **options},
        daemon=True,
    )
    thread.start()
    thread.join(timeout=30)
    assert errors, "it was let in"
    return str(errors[0])


def main(address: str) -> None:
    client = consumer(address)
    before = client.get_partition_properties("0")
    assert before["is_empty"] and before["last_enqueued_sequence_number"] == -1, before
    partitions = client.get_partition_ids()
    assert partitions == ["0", "1", "2", "3"], partitions
    send(address)
    after = client.get_partition_properties("0")
    keyed = [p for p in partitions if client.get_partition_properties(p)["last_enqueued_sequence_number"] == 0]
    client.close()

    events = read(address, "0", EVENTS, starting_position="-1")
    assert [event.body_as_str() for event in events[:EVENTS]] == [f"event {number}" for number in range(EVENTS)]
    assert [event.sequence_number for event in events] == list(range(EVENTS))
    assert events[7].properties[b"number"] == b"7", events[7].properties
    assert after["last_enqueued_offset"] in (events[-1].offset, read(address, "0", 1, starting_position=events[-2].offset)[0].offset)

    at = events[500]
    assert read(address, "0", 1, starting_position=500)[0].sequence_number == 501
    assert read(address, "0", 1, starting_position=500, starting_position_inclusive=True)[0].sequence_number == 500
    assert read(address, "0", 1, starting_position=at.offset)[0].sequence_number == 501
    inclusive = read(address, "0", 1, starting_position=at.enqueued_time, starting_position_inclusive=True)[0]
    assert inclusive.enqueued_time >= at.enqueued_time
    if keyed:
        assert read(address, keyed[0], 1, starting_position="-1")[0].partition_key == b"a key"

    print("absent group:", refusal(consumer(address, "absent")))
    print("sender's policy:", refusal(consumer(address, policy="sender")))
    try:
        consumer(address, hub="absent").get_partition_ids()
        raise AssertionError("an absent hub was found")
    except (ConnectError, EventHubError) as error:
        print("absent hub:", error)
    print(f"{EVENTS} events sent and read, by offset, sequence number and time")


if __name__ == "__main__":
    main(sys.argv[1])
