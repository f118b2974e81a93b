"""Checkpoints that are copied to blob storage: Microsoft's own client finds them, and goes on from there."""

import json

import pytest
from azure.eventhub import LoadBalancingStrategy
from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore

from ..azurite import ACCOUNT, CONTAINERS, KEY
from ..eventhubs import HUB, PARTITIONS
from .hub import GROUP, NAMESPACE, SECRETS, reading

CONTAINER = CONTAINERS[0]


class Store(BlobCheckpointStore):
    """Looks for checkpoints under the name by which the daemon knows the namespace: here the client has its address."""

    def list_checkpoints(self, fully_qualified_namespace, eventhub_name, consumer_group, **more):
        return super().list_checkpoints(NAMESPACE, eventhub_name, consumer_group, **more)


@pytest.fixture
def azurite(serve):
    return serve("azurite")


def mirrored(azurite, group: str) -> str:
    """The keys of a source that copies its checkpoints."""
    place = f'url = "az://{CONTAINER}", endpoint = "{azurite.url}"'
    account = f'account = "{ACCOUNT}", account_key = "${{STORE_KEY}}"'
    return f'consumer_group = "{group}"\ncheckpoint_store = {{ {place}, {account} }}'


def opened(azurite) -> Store:
    access = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite.url};"
    return Store.from_connection_string(access, CONTAINER)


def checkpoints(store: Store, group: str) -> dict[str, int]:
    """By partition, the sequence number of the last event that is done."""
    found = store.list_checkpoints(NAMESPACE, HUB, group)
    return {checkpoint["partition_id"]: checkpoint["sequence_number"] for checkpoint in found}


def taken_on(hub, store: Store, group: str, count: int) -> list:
    """So many events that Microsoft's client gets, for all partitions, behind the checkpoints."""
    balanced = {"load_balancing_interval": 1, "load_balancing_strategy": LoadBalancingStrategy.GREEDY}
    client = hub.consumer(group, checkpoint_store=store, **balanced)
    with reading(client, starting_position="-1") as events:
        return [events.get(timeout=30) for _ in range(count)]


def test_another_client_goes_on(trial, azurite, hub):
    """What was sent after the daemon ended, and nothing else, is what is left."""
    stopped = trial(hub.source(more=mirrored(azurite, GROUP)), hub.send, SECRETS | {"STORE_KEY": KEY})
    stopped.send(6_000)
    stopped.daemon.start()
    stopped.until_counted()
    stopped.daemon.stop()
    with opened(azurite) as store:
        assert checkpoints(store, GROUP) == hub.newest()
        done = stopped.sent
        stopped.send(4_000)
        events = taken_on(hub, store, GROUP, 4_000)
    numbers = sorted(json.loads(event.body_as_str())["id"] for event in events)
    assert numbers == list(range(done, stopped.sent))


def test_nothing_is_told_before_it_is_durable(trial, azurite, hub):
    """However the daemon dies, another client begins behind nothing that is not in the daemon's own checkpoint."""
    group = "watershed"
    dying = trial(hub.source(more=mirrored(azurite, group)), hub.send, SECRETS | {"STORE_KEY": KEY})
    with opened(azurite) as store, dying.load():
        for _ in range(5):
            before = checkpoints(store, group)
            dying.daemon.start()
            dying.daemon.until(lambda: checkpoints(store, group) != before, "a checkpoint that is told", pause=0.1)
            dying.daemon.kill()
            told, durable = checkpoints(store, group), in_state(dying.daemon)
            ahead = {partition: at for partition, at in told.items() if at > durable[partition]}
            assert not ahead, f"told {told}, durable {durable}"
    assert len(told) == PARTITIONS
    # Of each partition, all that is behind its checkpoint.
    behind = [at for partition, newest in hub.newest().items() for at in range(told[partition] + 1, newest + 1)]
    with opened(azurite) as store:
        events = taken_on(hub, store, group, len(behind))
    assert sorted(event.sequence_number for event in events) == sorted(behind)


def in_state(daemon) -> dict[str, int]:
    """By partition, the sequence number of the last event in the daemon's newest checkpoint."""
    newest = max((daemon.folder / "var").glob("*/state/checkpoints/*.json"))
    splits = json.loads(newest.read_text())["sources"]["events"]["splits"]
    return {partition: split["to"]["sequence"] for partition, split in splits.items()}
