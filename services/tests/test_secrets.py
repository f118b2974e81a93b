"""No secret is ever told: not by check, not by a run that logs all it can, not by what lies in its folder."""

import base64
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ..daemon import Daemon
from ..marks import MARK, assert_untold, assert_untold_below
from ..ports import LOOPBACK, free
from ..trial import region

LASTS = 2
"""Seconds that each run lasts: enough to try to connect several times."""

KAFKA = """
connector = "kafka"
topic = "absent"
brokers = "{WATERSHED_KAFKA_SASL_SSL}"
tls = {{ ca = "{WATERSHED_KAFKA_CA}" }}"""
KINESIS = """
connector = "kinesis"
stream = "absent"
aws_region = "eu-west-1"
access_key_id = "trial\""""
EVENTHUBS = """
connector = "eventhubs"
namespace = "trial.servicebus.windows.net"
hub = "hub"
endpoint = "amqp://{CLOSED}\""""

SOURCES = {
    "kafka-plain": KAFKA + '\nsasl = {{ mechanism = "PLAIN", username = "trial", password = "${{MARK}}" }}',
    "kafka-scram": KAFKA
    + '\nsasl = {{ mechanism = "SCRAM-SHA-512", username = "trial", password = "${{file:mark}}" }}',
    "kafka-token": KAFKA + '\nsasl = {{ mechanism = "OAUTHBEARER", token = "${{MARK}}" }}',
    "kafka-client": KAFKA
    + '\nsasl = {{ mechanism = "OAUTHBEARER", token_endpoint = "http://{CLOSED}/token",'
    + ' client_id = "trial", client_secret = "${{MARK}}" }}',
    "kafka-key": """
connector = "kafka"
topic = "absent"
brokers = "{WATERSHED_KAFKA_SSL}"
tls.ca = "{WATERSHED_KAFKA_CA}"
tls.cert = "{WATERSHED_KAFKA_CERT}"
tls.key = "{LOCKED}"
tls.key_password = "${{MARK}}\"""",
    "kinesis-keys": KINESIS
    + '\nendpoint = "{WATERSHED_KINESALITE}"\nsecret_access_key = "${{MARK}}"\nsession_token = "${{MARK}}"',
    "kinesis-gone": KINESIS + '\nendpoint = "http://{CLOSED}"\nsecret_access_key = "${{file:mark}}"',
    "eventhubs-string": EVENTHUBS
    + '\nconnection_string = "Endpoint=sb://trial.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=${{MARK}}"',
    "eventhubs-malformed": EVENTHUBS + '\nconnection_string = "SharedAccessKey=${{MARK}}"',
    "eventhubs-store": EVENTHUBS
    + '\nconnection_string = "Endpoint=sb://trial.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=${{MARK}}"'
    + '\ncheckpoint_store = {{ url = "az://trial", endpoint = "{WATERSHED_AZURITE}",'
    + ' account = "{WATERSHED_AZURITE_ACCOUNT}", account_key = "${{MARK}}" }}',
    "pubsub-credentials": """
connector = "pubsub"
project = "trial"
subscription = "absent"
endpoint = "https://{CLOSED}"
credentials = "credentials.json\"""",
    "http-token": 'connector = "http"\ntoken = "${{MARK}}"',
    "sse-headers": """
connector = "sse"
url = "http://trial:${{MARK}}@{CLOSED}/events?key=${{MARK}}"
headers = {{ x-key = "${{MARK}}" }}""",
    "sse-token": 'connector = "sse"\nurl = "http://{CLOSED}/events"\ntoken = "${{file:mark}}"',
    "registry": """
connector = "kafka"
topic = "absent"
brokers = "{WATERSHED_KAFKA}"
format = {{ type = "avro", registry = "http://{CLOSED}", username = "trial", password = "${{MARK}}" }}""",
}

SINKS = {
    "kinesis-keys": KINESIS
    + '\nendpoint = "{WATERSHED_KINESALITE}"\nsecret_access_key = "${{MARK}}"\nsession_token = "${{MARK}}"',
    "kinesis-gone": KINESIS + '\nendpoint = "http://{CLOSED}"\nsecret_access_key = "${{file:mark}}"',
    "pubsub-credentials": """
connector = "pubsub"
project = "trial"
topic = "absent"
endpoint = "https://{CLOSED}"
credentials = "credentials.json\"""",
}
"""All of them lead nowhere."""

REFUSED = {"eventhubs-malformed"}
"""Those that are wrong as they stand."""
UNREACHED = SOURCES.keys() - {"http-token"}
"""Those that lead nowhere: all that have somewhere to connect to."""

CREDENTIALS = f"""{{
  "type": "service_account", "project_id": "trial", "private_key_id": "{MARK}", "client_id": "1",
  "client_email": "trial@trial.iam.gserviceaccount.com", "private_key": "-----BEGIN PRIVATE KEY-----\\n{MARK}\\n"
}}"""


def served(port: int, path: str) -> bytes:
    """What the daemon says of itself, if it gets that far."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as answer:
            return answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.read()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def places(serve, tmp_path_factory) -> dict[str, str]:
    """What the sources above are filled with."""
    found: dict[str, str] = {}
    for name in ("kafka", "kinesalite", "azurite"):
        found |= serve(name).variables()
    locked = tmp_path_factory.mktemp("keys") / "locked.key"
    lock = ["openssl", "pkey", "-aes256", "-passout", f"pass:{MARK}"]
    subprocess.run([*lock, "-in", found["WATERSHED_KAFKA_KEY"], "-out", locked], check=True)
    return found | {"CLOSED": f"{LOOPBACK}:{free(1)[0]}", "LOCKED": str(locked)}


@pytest.mark.parametrize("name", SOURCES)
def test_untold(name: str, places: dict[str, str], tmp_path: Path):
    assert_keeps(SOURCES[name].format_map(places), "", tmp_path, name not in REFUSED, name not in UNREACHED)


@pytest.mark.parametrize("name", SINKS)
def test_untold_by_sinks(name: str, places: dict[str, str], tmp_path: Path):
    (tmp_path / "events.ndjson").write_text('{"id": 1, "ts": "2026-03-01T00:00:00Z", "key": "a", "amount": 1.0}\n')
    sink = f"[sinks.out]\n{SINKS[name].format_map(places)}"
    pipeline = '[pipelines.out]\nsink = "out"\nsql = "SELECT * FROM events"'
    source = 'connector = "file"\npath = "events.ndjson"\nfollow = true'
    assert_keeps(source, f"{sink}\n{pipeline}", tmp_path, True, False)


def assert_keeps(source: str, top: str, tmp_path: Path, sound: bool, reached: bool) -> None:
    """The mark is told by nothing; `sound` and `reached` say what checks are to say."""
    (port,) = free(1)
    (tmp_path / "mark").write_text(MARK)
    (tmp_path / "credentials.json").write_text(CREDENTIALS)
    secret = {"mark", "credentials.json"}
    environment = {"MARK": MARK, "RUST_LOG": "debug"}
    text = region(source, top=f'[http]\nlisten = "{LOOPBACK}:{port}"\n{top}')
    with Daemon(tmp_path, text, environment) as daemon:
        for options in ([], ["--connect"]):
            checked = daemon.check(*options)
            assert_untold(f"check {options}", (checked.stdout + checked.stderr).encode())
            well = reached if options else sound
            assert (checked.returncode == 0) == well, f"check {options}: {checked.stderr}"
        daemon.start("-vv")
        try:
            daemon.wait(LASTS)
        except subprocess.TimeoutExpired:
            for path in ("/metrics", "/healthz", "/ingest/events"):
                assert_untold(path, served(port, path))
        daemon.close()
    assert_untold_below(tmp_path, secret)


def test_disguises_are_seen():
    """The search above would find what it looks for."""
    for text in (MARK, f"user:{MARK}", f"a:{MARK}!", f"ab:{MARK}"):
        with pytest.raises(AssertionError):
            assert_untold("", base64.b64encode(text.encode()))
