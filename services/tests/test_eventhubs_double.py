"""Proves the double of Event Hubs by a client that is not ours: Microsoft's azure-eventhub sends, reads and asks."""

import pytest
from azure.eventhub import EventData, EventHubConsumerClient
from azure.eventhub.exceptions import EventHubError

from ..eventhubs import PARTITIONS
from .hub import reading

EVENTS = 1_000


@pytest.fixture
def sent(hub):
    """The hub, with events in its first partition."""
    with hub.producer() as producer:
        for start in range(0, EVENTS, 100):
            batch = producer.create_batch(partition_id="0")
            for number in range(start, start + 100):
                event = EventData(f"event {number}")
                event.properties = {"number": str(number)}
                batch.add(event)
            producer.send_batch(batch)
    return hub


def read(client: EventHubConsumerClient, count: int, partition: str = "0", **where) -> list[EventData]:
    """The first events that a receiver gets."""
    with reading(client, partition_id=partition, **where) as events:
        return [events.get(timeout=30) for _ in range(count)]


def refusal(client: EventHubConsumerClient, **options) -> str:
    """What a receiver is told that is not let in."""
    (told,) = read(client, 1, starting_position="-1", **options)
    assert isinstance(told, EventHubError), f"it was let in: {told}"
    return str(told)


def test_a_hub_says_what_it_holds(hub):
    with hub.consumer() as client:
        assert client.get_partition_ids() == [str(number) for number in range(PARTITIONS)]
        empty = client.get_partition_properties("0")
        assert empty["is_empty"] and empty["last_enqueued_sequence_number"] == -1, empty


def test_events_come_as_they_were_sent(sent):
    events = read(sent.consumer(), EVENTS, starting_position="-1")
    assert [event.body_as_str() for event in events] == [f"event {number}" for number in range(EVENTS)]
    assert [event.sequence_number for event in events] == list(range(EVENTS))
    assert events[7].properties[b"number"] == b"7"
    with sent.consumer() as client:
        last = client.get_partition_properties("0")
    assert (last["last_enqueued_sequence_number"], last["last_enqueued_offset"]) == (EVENTS - 1, events[-1].offset)


def test_a_receiver_begins_where_it_says(sent):
    at = read(sent.consumer(), 501, starting_position="-1")[-1]
    inclusive = {"starting_position_inclusive": True}
    for where, first in [
        ({"starting_position": 500}, 501),
        ({"starting_position": 500} | inclusive, 500),
        ({"starting_position": at.offset}, 501),
        ({"starting_position": at.offset} | inclusive, 500),
    ]:
        assert read(sent.consumer(), 1, **where)[0].sequence_number == first, where
    (since,) = read(sent.consumer(), 1, starting_position=at.enqueued_time, **inclusive)
    assert since.enqueued_time == at.enqueued_time and since.sequence_number <= at.sequence_number


def test_a_key_stays_with_its_partition(hub):
    with hub.producer() as producer:
        for _ in range(2):
            batch = producer.create_batch(partition_key="a key")
            batch.add(EventData("keyed"))
            producer.send_batch(batch)
    (partition,) = (partition for partition, newest in hub.newest().items() if newest >= 0)
    events = read(hub.consumer(), 2, partition, starting_position="-1")
    assert [event.partition_key for event in events] == [b"a key", b"a key"]


def test_who_may_not_read_is_told_so(hub):
    assert "could not be found" in refusal(hub.consumer("absent"))
    assert "Listen" in refusal(hub.consumer(policy="sender"))
    with hub.consumer(hub="absent") as client, pytest.raises(EventHubError):
        client.get_partition_ids()


def test_a_level_shuts_lower_ones_out(hub):
    with reading(hub.consumer(), partition_id="0", owner_level=1, starting_position="-1") as shut_out:
        with hub.producer() as producer:
            producer.send_batch([EventData("one")], partition_id="0")
        assert shut_out.get(timeout=30).sequence_number == 0
        assert "epoch" in refusal(hub.consumer())
        assert "epoch" in refusal(hub.consumer(), owner_level=0)
        assert read(hub.consumer(), 1, owner_level=2, starting_position="-1")[0].sequence_number == 0
        assert "epoch" in str(shut_out.get(timeout=30))
