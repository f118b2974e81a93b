"""Azure's credentials, by each link of the chain and by keys: what Event Hubs is shown.

The double of Event Hubs writes down the tokens; TLS stands before it, as a token of Entra goes out in no other way. Entra
itself is a double, over TLS too: clients insist on that. Its authority is one of `SSL_CERT_FILE`.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

import pytest

from ..certificates import Authority
from ..daemon import Daemon
from ..eventhubs import HUB, EventHubs
from ..identity import APP_SERVICE, CLIENT, CLIENT_SECRET, FEDERATED, IDENTITY_HEADER, TENANT, Entra
from ..marks import MARK
from ..tls import TlsProxy
from ..trial import region
from .credentials import bare, drain, refused, written
from .hub import Hub

NAMESPACE = "trial.servicebus.windows.net"
KEY = f"shared-key-{MARK}"
JWT, SAS = "jwt", "servicebus.windows.net:sastoken"


@dataclass(frozen=True)
class Azure:
    """A hub behind TLS, Entra, and a file that vouches for both."""

    server: EventHubs
    front: TlsProxy
    entra: Entra
    roots: str

    def source(self, more: str = "") -> str:
        return f"""
connector = "eventhubs"
namespace = "{NAMESPACE}"
hub = "{HUB}"
endpoint = "amqps://{self.front.address}"
{more}"""


@pytest.fixture
def azure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azure")
    authority = Authority(folder / "tls")
    with EventHubs() as server, TlsProxy(to=server.port) as front, Entra(authority.server()) as entra:
        roots = written(folder, "roots.pem", authority.certificate.read_text() + front.ca.read_text())
        yield Azure(server, front, entra, str(roots))


@pytest.fixture
def service():
    """App Service's endpoint, which speaks plain HTTP; as a proxy, the metadata service."""
    with Entra() as service:
        yield service


@pytest.fixture
def daemon(azure, tmp_path) -> Callable[..., Daemon]:
    def make(source: str, variables: dict[str, str] | None = None) -> Daemon:
        made = Daemon(tmp_path, region(source))
        bare(made, {"SSL_CERT_FILE": azure.roots, "AZURE_AUTHORITY_HOST": azure.entra.url} | (variables or {}))
        return made

    return make


def application(secret: str = "${SECRET}") -> str:
    return f'client_secret = {{ tenant_id = "{TENANT}", client_id = "{CLIENT}", client_secret = "{secret}" }}'


def string(policy: str = "reader") -> str:
    return f'connection_string = "Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName={policy};SharedAccessKey=${{KEY}}"'


def signed(token: str) -> bool:
    """True for a shared access signature that was made with the key, and is good now."""
    fields = dict(field.split("=", 1) for field in token.removeprefix("SharedAccessSignature ").split("&"))
    # What is signed is the resource as it is spelled in the token.
    right = hmac.digest(KEY.encode(), f"{fields['sr']}\n{fields['se']}".encode(), hashlib.sha256)
    good = base64.b64decode(unquote(fields["sig"])) == right
    return good and int(fields["se"]) > time.time() and NAMESPACE in fields["sr"]


def drained(azure: Azure, trial, more: str, variables: dict[str, str]) -> None:
    hub = Hub(azure.server)
    shown = {"SSL_CERT_FILE": azure.roots, "AZURE_AUTHORITY_HOST": azure.entra.url}
    try:
        drain(trial(azure.source(more), hub.send), shown | variables)
    finally:
        hub.close()


def tokens_of(azure: Azure, kind: str) -> set[str]:
    """The tokens of the daemon: those of the sender, who comes in the clear, are left out."""
    return {token for of, token in azure.server.tokens() if of == kind}


def test_connection_string(azure, trial):
    drained(azure, trial, string(), {"KEY": KEY})
    mine = [token for token in tokens_of(azure, SAS) if "skn=reader" in token]
    assert mine and all(map(signed, mine))


def test_client_secret(azure, trial):
    drained(azure, trial, application(), {"SECRET": CLIENT_SECRET})
    assert tokens_of(azure, JWT) and tokens_of(azure, JWT) <= set(azure.entra.given("application"))


def test_workload_identity(azure, trial, tmp_path_factory):
    file = written(tmp_path_factory.mktemp("token"), "token", FEDERATED)
    variables = {"AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
    drained(azure, trial, "", variables)
    assert tokens_of(azure, JWT) and tokens_of(azure, JWT) <= set(azure.entra.given("workload"))


def test_app_service(azure, trial, service):
    variables = {"IDENTITY_ENDPOINT": f"{service.url}{APP_SERVICE}", "IDENTITY_HEADER": IDENTITY_HEADER}
    drained(azure, trial, "", variables)
    assert tokens_of(azure, JWT) and tokens_of(azure, JWT) <= set(service.given("service"))


@pytest.mark.parametrize("assigned", [None, CLIENT])
def test_virtual_machine(azure, trial, service, assigned):
    """The metadata service has a fixed address, so it is reached by way of a proxy. Who has several identities names one."""
    variables = {"http_proxy": service.url} | ({"AZURE_CLIENT_ID": assigned} if assigned else {})
    drained(azure, trial, "", variables)
    assert tokens_of(azure, JWT) and tokens_of(azure, JWT) <= set(service.given("machine"))
    assert {asked.query.get("client_id") for asked in service.asked} == {assigned}


def test_no_token_in_the_clear(azure, daemon):
    in_the_clear = azure.source(application()).replace("amqps://", "amqp://")
    told = daemon(in_the_clear, {"SECRET": CLIENT_SECRET}).check()
    assert told.returncode == 2 and "would show a token of Entra: write amqps://" in told.stderr
    assert not azure.entra.asked


def test_wrong_client_secret(azure, daemon):
    wrong = daemon(azure.source(application()), {"SECRET": f"wrong-{MARK}"})
    refused(wrong, f"{NAMESPACE}/{HUB} lets nobody in", "AADSTS7000215", "Azure Event Hubs Data Receiver")


def test_nobody(azure, daemon):
    with Entra() as gone:
        proxy = gone.url
    refused(daemon(azure.source(), {"http_proxy": proxy}), f"{NAMESPACE}/{HUB}", "is there an identity?")


@pytest.mark.parametrize("policy", ["refused", "sender"])
def test_policy_without_listen(azure, daemon, policy):
    told = refused(daemon(azure.source(string(policy)), {"KEY": KEY}), "lets nobody in", "the claim Listen")
    assert f"{NAMESPACE}/{HUB}" in told


def test_identity_without_role(azure, daemon, service):
    """Entra gives a token, but it opens nothing here."""
    service.powerless = True
    variables = {"IDENTITY_ENDPOINT": f"{service.url}{APP_SERVICE}", "IDENTITY_HEADER": IDENTITY_HEADER}
    refused(daemon(azure.source(), variables), "lets nobody in", "the role Azure Event Hubs Data Receiver")


def test_absent_hub(azure, daemon):
    absent = azure.source(string()).replace(f'hub = "{HUB}"', 'hub = "absent"')
    refused(daemon(absent, {"KEY": KEY}), f"{NAMESPACE}/absent is not there", "correct `hub` and `namespace`")


def test_absent_consumer_group(azure, daemon):
    absent = azure.source(f'{string()}\nconsumer_group = "absent"')
    refused(daemon(absent, {"KEY": KEY}), "does not find consumer group absent", "correct `consumer_group`")


def test_unknown_authority(azure, daemon):
    refused(daemon(azure.source(string()), {"KEY": KEY, "SSL_CERT_FILE": "/dev/null"}), "certificate")


def test_unreachable(azure, daemon):
    azure.front.refuse()
    refused(daemon(azure.source(string()), {"KEY": KEY}), "is `namespace` right")
