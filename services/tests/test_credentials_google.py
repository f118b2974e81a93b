"""Google's credentials, by each link of the default chain and by file: which token Pub/Sub is shown.

A guard before Google's fake terminates TLS, as no token goes out in the clear. What gives tokens is a double; the token of a
service account is made by the client itself, and its signature is checked.
"""

import base64
import json
import time
from pathlib import Path

import grpc
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ..certificates import Authority
from ..daemon import Daemon
from ..identity import ACCOUNT, CLIENT_SECRET, FEDERATED, LENT, POOL, REFRESH_TOKEN, GoogleIdentity
from ..marks import MARK
from ..pubsub_guard import PubSubGuard
from ..trial import region
from .credentials import bare, drain, refused, written
from .test_pubsub import PROJECT, Subscription

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority") / "tls")


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.server()


@pytest.fixture
def identity():
    with GoogleIdentity() as identity:
        yield identity


@pytest.fixture
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def subscription(serve, request):
    return Subscription(serve("pubsub").address, request.node.name.replace("[", "-").rstrip("]"))


def source(guard: PubSubGuard, name: str, more: str = "") -> str:
    return f"""
connector = "pubsub"
project = "{PROJECT}"
subscription = "{name}"
endpoint = "{guard.url}"
streams = 1
{more}"""


class ServiceAccount:
    """An account with a key of its own, and Google's half of it, by which its tokens are looked at."""

    def __init__(self):
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def file(self) -> dict:
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": f"key-{MARK}",
            "private_key": private.decode(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }

    def signed(self, token: str) -> bool:
        """True if this account made the token, for now and for Pub/Sub."""
        body, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decode(signature), body.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        header, claims = (json.loads(_decode(part)) for part in body.split("."))
        whose = header["alg"] == "RS256" and claims["iss"] == claims["sub"] == ACCOUNT
        return whose and claims["iat"] <= time.time() + 60 and time.time() < claims["exp"] and SCOPE in claims["scope"]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def user(identity: GoogleIdentity) -> dict:
    secrets = {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
    return {"type": "authorized_user", "client_id": "1", "token_uri": f"{identity.url}/token"} | secrets


def workload(identity: GoogleIdentity, folder: Path) -> dict:
    return {
        "type": "external_account",
        "audience": POOL,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{identity.url}/sts",
        "credential_source": {"file": str(written(folder, "token", FEDERATED))},
    }


def lent(identity: GoogleIdentity) -> dict:
    return {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"{identity.url}{LENT}{ACCOUNT}:generateAccessToken",
        "source_credentials": user(identity),
    }


def held(folder: Path, json_of) -> Path:
    return written(folder, "credentials.json", json.dumps(json_of))


@pytest.mark.parametrize("by", ["variable", "key"])
def test_service_account(by, trial, subscription, serve, authority, certificate, keys):
    account = ServiceAccount()
    file = held(keys, account.file())
    variables = {"SSL_CERT_FILE": authority.certificate}
    if by == "variable":
        variables["GOOGLE_APPLICATION_CREDENTIALS"] = file
    with PubSubGuard(serve("pubsub").address, account.signed, certificate) as guard:
        more = f'credentials = "{file}"' if by == "key" else ""
        drain(trial(source(guard, subscription.name, more), subscription.send), variables)
        assert all(account.signed(token.removeprefix("Bearer ")) for token in guard.shown)


@pytest.mark.parametrize("kind", ["user", "workload", "lent", "metadata"])
def test_given_tokens(kind, trial, subscription, serve, authority, certificate, identity, keys):
    variables = {"SSL_CERT_FILE": authority.certificate}
    match kind:
        case "user":
            variables["GOOGLE_APPLICATION_CREDENTIALS"] = held(keys, user(identity))
        case "workload":
            variables["GOOGLE_APPLICATION_CREDENTIALS"] = held(keys, workload(identity, keys))
        case "lent":
            variables["GOOGLE_APPLICATION_CREDENTIALS"] = held(keys, lent(identity))
        case "metadata":
            variables["GCE_METADATA_HOST"] = identity.address

    def given(token: str) -> bool:
        return token in identity.given(kind)

    with PubSubGuard(serve("pubsub").address, given, certificate) as guard:
        drain(trial(source(guard, subscription.name), subscription.send), variables)
        assert guard.shown <= {f"Bearer {token}" for token in identity.given(kind)}


def test_renewed(trial, subscription, serve, authority, certificate, keys):
    """The client asks for another token ten seconds after one that does not last."""
    with GoogleIdentity(life=60) as identity:
        variables = {"SSL_CERT_FILE": authority.certificate}
        variables["GOOGLE_APPLICATION_CREDENTIALS"] = held(keys, user(identity))
        with PubSubGuard(serve("pubsub").address, lambda token: token in identity.given("user"), certificate) as guard:
            renewing = trial(source(guard, subscription.name), subscription.send)
            bare(renewing.daemon, variables)
            renewing.send(100)
            renewing.daemon.start()
            renewing.until_counted()
            renewing.daemon.until(lambda: len(identity.given("user")) >= 2, "a token that was renewed")
            seen = set(guard.shown)
            renewing.send(100)
            renewing.daemon.until(lambda: guard.shown - seen, "a token that was not shown before")
            renewing.settle()


def test_user_of_gcloud(trial, subscription, serve, authority, certificate, identity, tmp_path):
    """What `gcloud auth application-default login` leaves in the home."""
    with PubSubGuard(serve("pubsub").address, lambda token: token in identity.given("user"), certificate) as guard:
        logged_in = trial(source(guard, subscription.name), subscription.send)
        bare(logged_in.daemon, {"SSL_CERT_FILE": authority.certificate})
        folder = logged_in.daemon.folder / "home" / ".config" / "gcloud"
        folder.mkdir(parents=True)
        written(folder, "application_default_credentials.json", json.dumps(user(identity)))
        checked = logged_in.daemon.check("--connect")
        assert checked.returncode == 0, checked.stderr
        assert guard.shown == {f"Bearer {token}" for token in identity.given("user")}


@pytest.mark.parametrize("kind", ["user", "workload", "lent"])
def test_files(kind, trial, subscription, serve, authority, certificate, identity, keys):
    """The same by the key `credentials`, which counts for more than the variable."""
    made = {"user": user(identity), "workload": workload(identity, keys), "lent": lent(identity)}
    other = written(keys, "other.json", json.dumps(ServiceAccount().file()))
    variables = {"SSL_CERT_FILE": authority.certificate, "GOOGLE_APPLICATION_CREDENTIALS": other}
    with PubSubGuard(serve("pubsub").address, lambda token: token in identity.given(kind), certificate) as guard:
        more = f'credentials = "{held(keys, made[kind])}"'
        checking = trial(source(guard, subscription.name, more), subscription.send)
        bare(checking.daemon, variables)
        checked = checking.daemon.check("--connect")
        assert checked.returncode == 0, checked.stderr
        assert guard.shown <= {f"Bearer {token}" for token in identity.given(kind)}


def test_nothing_is_shown_in_the_clear(trial, subscription, serve, identity, keys):
    with PubSubGuard(serve("pubsub").address, lambda _: False) as guard:
        variables = {"GOOGLE_APPLICATION_CREDENTIALS": held(keys, user(identity))}
        drain(trial(source(guard, subscription.name), subscription.send), variables)
        assert guard.shown == {None} and not identity.asked


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "User not authorized to perform this action.",
            ("pubsub.subscriptions.consume", "roles/pubsub.subscriber", "projects/trial/subscriptions/orders"),
        ),
        (
            grpc.StatusCode.NOT_FOUND,
            "Resource not found (resource=orders).",
            ("projects/trial/subscriptions/orders does not exist", "`project`", "`subscription`"),
        ),
        (grpc.StatusCode.FAILED_PRECONDITION, "This is a push subscription.", ("make it a pull subscription",)),
        (grpc.StatusCode.UNAUTHENTICATED, "Invalid credentials.", ("no credentials for", "`credentials`")),
    ],
)
def test_refused(status, said, told, serve, authority, certificate, identity, keys, tmp_path):
    with PubSubGuard(serve("pubsub").address, lambda _: True, certificate) as guard:
        guard.forbidden = (status, said)
        credentials = held(keys, user(identity))
        variables = {"SSL_CERT_FILE": authority.certificate, "GOOGLE_APPLICATION_CREDENTIALS": credentials}
        with Daemon(tmp_path, region(source(guard, "orders"))) as daemon:
            bare(daemon, variables)
            refused(daemon, *told, said)


def test_no_credentials(serve, authority, certificate, tmp_path):
    """Where nobody attached a service account, and no file says anything."""
    with PubSubGuard(serve("pubsub").address, lambda _: True, certificate) as guard:
        with GoogleIdentity() as gone:
            address = gone.address
        with Daemon(tmp_path, region(source(guard, "orders"))) as daemon:
            bare(daemon, {"SSL_CERT_FILE": authority.certificate, "GCE_METADATA_HOST": address})
            refused(daemon, "no credentials for projects/trial/subscriptions/orders", "GOOGLE_APPLICATION_CREDENTIALS")
            assert not guard.shown


def test_revoked_user(serve, authority, certificate, identity, keys, tmp_path):
    with PubSubGuard(serve("pubsub").address, lambda _: True, certificate) as guard:
        file = held(keys, user(identity) | {"refresh_token": f"revoked-{MARK}"})
        with Daemon(tmp_path, region(source(guard, "orders", f'credentials = "{file}"'))) as daemon:
            bare(daemon, {"SSL_CERT_FILE": authority.certificate})
            refused(daemon, "no credentials for projects/trial/subscriptions/orders", "`credentials`")
