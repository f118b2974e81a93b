"""Kafka's tokens, fetched and renewed, before Kafka itself. Passwords and certificates are tried beside its other trials."""

import pytest

from ..daemon import Daemon
from ..identity import CLIENT, CLIENT_SECRET, KafkaIdentity
from ..marks import MARK
from ..trial import region
from .credentials import bare, drain, refused
from .test_kafka import Topic

BRIEF = 5
"""Seconds that a token lasts, of which the client takes four fifths: enough to log in with on a busy machine."""


@pytest.fixture
def kafka(serve):
    return serve("kafka")


@pytest.fixture
def topic(kafka, request):
    return Topic(kafka.address, request.node.name, 2)


def source(kafka, topic: str, identity: KafkaIdentity) -> str:
    given = kafka.variables()
    return f"""
connector = "kafka"
brokers = "{given["WATERSHED_KAFKA_SASL_SSL"]}"
topic = "{topic}"
tls = {{ ca = "{given["WATERSHED_KAFKA_CA"]}" }}
sasl.mechanism = "OAUTHBEARER"
sasl.token_endpoint = "{identity.url}/token?key=${{SECRET}}"
sasl.client_id = "{CLIENT}"
sasl.client_secret = "${{SECRET}}"
sasl.scope = "kafka\""""


def test_fetched(kafka, topic, trial):
    with KafkaIdentity() as identity:
        drain(trial(source(kafka, topic.name, identity), topic.send), {"SECRET": CLIENT_SECRET})
        assert identity.given("kafka")


def test_renewed(kafka, topic, trial):
    """Tokens that do not last are fetched again, and a broker that comes back is shown one that is good then."""
    with KafkaIdentity(life=BRIEF) as identity:
        renewing = trial(source(kafka, topic.name, identity), topic.send)
        bare(renewing.daemon, {"SECRET": CLIENT_SECRET})
        renewing.send(100)
        renewing.daemon.start("-vv")
        renewing.until_counted()
        fetched = len(identity.given("kafka"))
        renewing.daemon.until(lambda: len(identity.given("kafka")) >= fetched + 2, "tokens that were fetched anew")
        kafka.restart()
        renewing.send(100)
        renewing.settle()


def test_refused(kafka, topic, tmp_path):
    with KafkaIdentity() as identity, Daemon(tmp_path, region(source(kafka, topic.name, identity))) as daemon:
        bare(daemon, {"SECRET": f"wrong-{MARK}"})
        told = f"no token from {identity.url.rpartition(':')[0]}/token: it answers 401, invalid_client"
        refused(daemon, told, "check the token, or what is sent to `token_endpoint`")
