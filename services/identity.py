"""Doubles of the services that hand out credentials: AWS's STS with its container and instance endpoints, Google's token
services with its metadata server, and Microsoft's Entra with its managed identities; and one of whoever runs a Kafka.

Each gives to him who shows what the real one asks for, numbers what it gives, and refuses everything else. What it gives
is marked, and so may be nowhere to be seen.
"""

import base64
import datetime
import itertools
import json
import threading
import time
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .certificates import Identity
from .double import Answer, Asked, Double
from .marks import MARK
from .signature import Key, Signature

LIFE = 3600
"""Seconds that credentials are good for, if a test does not say otherwise."""

FEDERATED = f"federated.{MARK}"
"""What the platform wrote into a file for a workload to show."""
CLIENT_SECRET = f"client-secret-{MARK}"
"""The password of an application, where one has one."""

ROLE = "arn:aws:iam::000000000000:role/reader"
CONTAINER_TOKEN = f"container-{MARK}"
CONTAINER = "/v1/credentials"
TASKS = "169.254.170.2"
INSTANCE_TOKEN = f"instance-{MARK}"
INSTANCE = "/latest/meta-data/iam/security-credentials/"


def moment(seconds: float) -> str:
    """So many seconds from now, as RFC 3339."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


class AwsIdentity(Double):
    """STS, and what containers and instances ask, at one address.

    `life` is how long the keys last that it gives; those that last less than the client's margin of some seconds are asked
    for again with every call. `allowed` says whether a role may be assumed.
    """

    def __init__(self, life: float = LIFE, allowed: bool = True, identity: Identity | None = None):
        self._life = life
        self._allowed = allowed
        self._keys: dict[str, Key] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        super().__init__(identity)

    def make(self, kind: str, temporary: bool = True) -> Key:
        """Another key, with a token unless it is for ever."""
        with self._lock:
            name = f"{kind}{next(self._numbers):04}"
            key = Key(f"ASIA{name.upper()}", f"secret-{name}-{MARK}", f"token-{name}-{MARK}" if temporary else None)
            self._keys[key.id] = key
            return key

    def key(self, of: str) -> Key | None:
        with self._lock:
            return self._keys.get(of)

    def given(self, kind: str) -> set[str]:
        """The ids of all keys of that kind."""
        with self._lock:
            return {of for of in self._keys if of.startswith(f"ASIA{kind.upper()}")}

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            return self._sts(asked)
        if asked.path == CONTAINER:
            # The agent of ECS has an address that only its containers reach, and asks for nothing.
            shown = asked.headers.get("host") == TASKS or asked.headers.get("authorization") == CONTAINER_TOKEN
            return self._document("container") if shown else Answer(401)
        if asked.method == "PUT" and asked.path == "/latest/api/token":
            return Answer(200, INSTANCE_TOKEN.encode(), {"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
        if asked.headers.get("x-aws-ec2-metadata-token") != INSTANCE_TOKEN:
            return Answer(401)
        if asked.path == INSTANCE:
            return Answer(200, b"reader")
        return self._document("instance") if asked.path == f"{INSTANCE}reader" else Answer(404)

    def _document(self, kind: str) -> Answer:
        key = self.make(kind)
        held = {"AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token}
        return Answer.json(200, held | {"Code": "Success", "Type": "AWS-HMAC", "Expiration": moment(self._life)})

    def _sts(self, asked: Asked) -> Answer:
        form = asked.query | asked.form
        action = form["Action"]
        if action == "AssumeRoleWithWebIdentity":
            if form["WebIdentityToken"] != FEDERATED:
                return _refusal("InvalidIdentityToken", "The web identity token is no good.")
            return self._assumed(action, "web", form)
        signature = Signature.of(asked)
        key = signature and self.key(signature.key)
        if key is None:
            return _refusal("InvalidClientTokenId", "The security token included in the request is invalid.")
        if not signature.fits(asked, key):
            told = f"The Canonical String for this request should have been {dict(asked.headers)}"
            return _refusal("SignatureDoesNotMatch", escape(told))
        return self._assumed(action, "role", form)

    def _assumed(self, action: str, kind: str, form: dict[str, str]) -> Answer:
        if not self._allowed or form["RoleArn"] != ROLE:
            user = "User: arn:aws:iam::000000000000:user/trial"
            return _refusal(
                "AccessDenied", f"{user} is not authorized to perform: sts:{action} on resource: {form['RoleArn']}"
            )
        key = self.make(kind)
        fields = {"AccessKeyId": key.id, "SecretAccessKey": key.secret, "SessionToken": key.token}
        fields["Expiration"] = moment(self._life)
        held = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        user = f"<AssumedRoleUser><AssumedRoleId>A:w</AssumedRoleId><Arn>{ROLE}/w</Arn></AssumedRoleUser>"
        result = f"<{action}Result>{user}<Credentials>{held}</Credentials></{action}Result>"
        return _xml(200, f'<{action}Response xmlns="{NAMESPACE}">{result}</{action}Response>')


NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def _refusal(code: str, message: str) -> Answer:
    told = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return _xml(403, f'<ErrorResponse xmlns="{NAMESPACE}">{told}<RequestId>1</RequestId></ErrorResponse>')


def _xml(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), {"content-type": "text/xml"})


@dataclass(frozen=True)
class Token:
    """A bearer token that was given out, and to whom."""

    value: str
    kind: str


class Tokens(Double):
    """What gives bearer tokens has in common: they are numbered, and their kinds are told apart."""

    def __init__(self, identity: Identity | None = None, life: int = LIFE):
        self.tokens: list[Token] = []
        self.life = life
        self._lock = threading.Lock()
        super().__init__(identity)

    def make(self, kind: str) -> str:
        with self._lock:
            value = f"{kind}.{len(self.tokens) + 1}.{MARK}"
            self.tokens.append(Token(value, kind))
            return value

    def given(self, kind: str) -> list[str]:
        with self._lock:
            return [token.value for token in self.tokens if token.kind == kind]


REFRESH_TOKEN = f"refresh-{MARK}"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
ACCOUNT = "reader@trial.iam.gserviceaccount.com"


LENT = "/v1/projects/-/serviceAccounts/"


class GoogleIdentity(Tokens):
    """OAuth 2's token endpoint, STS, the service that lends service accounts, and the metadata server, at one address."""

    def answer(self, asked: Asked) -> Answer:
        ways = {
            "/token": self._refreshed,
            "/sts": self._exchanged,
            f"{LENT}{ACCOUNT}:generateAccessToken": self._lent,
            "/computeMetadata/v1/instance/service-accounts/default/token": self._attached,
            "/computeMetadata/v1/universe/universe-domain": lambda _: Answer(200, b"googleapis.com"),
        }
        return ways[asked.path](asked) if asked.path in ways else Answer(404)

    def _refreshed(self, asked: Asked) -> Answer:
        form = asked.json if asked.headers.get("content-type", "").startswith("application/json") else asked.form
        shown = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN, "client_secret": CLIENT_SECRET}
        return self._bearer("user") if shown.items() <= form.items() else _oauth("invalid_grant")

    def _exchanged(self, asked: Asked) -> Answer:
        shown = {"subject_token": FEDERATED, "audience": POOL}
        return self._bearer("workload") if shown.items() <= asked.form.items() else _oauth("invalid_grant")

    def _lent(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.given("user"):
            return Answer(401)
        return Answer.json(200, {"accessToken": self.make("lent"), "expireTime": moment(self.life)})

    def _attached(self, asked: Asked) -> Answer:
        return self._bearer("metadata") if asked.headers.get("metadata-flavor") == "Google" else Answer(403)

    def _bearer(self, kind: str) -> Answer:
        issued = "urn:ietf:params:oauth:token-type:access_token"
        fields = {"access_token": self.make(kind), "expires_in": self.life, "token_type": "Bearer"}
        return Answer.json(200, fields | {"issued_token_type": issued})


def _oauth(refusal: str) -> Answer:
    return Answer.json(400, {"error": refusal, "error_description": "not what was agreed"})


TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
EVENT_HUBS = "https://eventhubs.azure.net"
STORAGE = "https://storage.azure.com"
IDENTITY_HEADER = f"identity-header-{MARK}"
APP_SERVICE = "/msi/token"


class Entra(Tokens):
    """Entra's token endpoint, and that of App Service. As an HTTP proxy it is the metadata service of a virtual machine,
    whose address is fixed: `169.254.169.254`.

    Its tokens are for `resource`. While it is `powerless`, they are those of an identity that may do nothing with the hub but
    send.
    """

    powerless = False

    def __init__(self, identity: Identity | None = None, life: int = LIFE, resource: str = EVENT_HUBS):
        self._resource = resource
        super().__init__(identity, life)

    def answer(self, asked: Asked) -> Answer:
        if asked.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._application(asked.form)
        if asked.query.get("resource") != self._resource:
            return Answer(400)
        if asked.path == APP_SERVICE and asked.headers.get("x-identity-header") == IDENTITY_HEADER:
            return self._managed("service")
        machine = asked.headers.get("host") == "169.254.169.254" and asked.headers.get("metadata") == "true"
        return self._managed("machine") if machine and asked.path == "/metadata/identity/oauth2/token" else Answer(404)

    def _application(self, form: dict[str, str]) -> Answer:
        agreed = {"grant_type": "client_credentials", "client_id": CLIENT, "scope": f"{self._resource}/.default"}
        if agreed.items() <= form.items() and form.get("client_secret") == CLIENT_SECRET:
            kind = "application"
        elif agreed.items() <= form.items() and form.get("client_assertion") == FEDERATED:
            kind = "workload"
        else:
            told = "AADSTS7000215: Invalid client secret provided."
            return Answer.json(401, {"error": "invalid_client", "error_description": told, "error_codes": [7000215]})
        fields = {"token_type": "Bearer", "expires_in": self.life, "ext_expires_in": self.life}
        return Answer.json(200, fields | {"access_token": self.make("sender" if self.powerless else kind)})

    def _managed(self, kind: str) -> Answer:
        fields = {"token_type": "Bearer", "resource": self._resource, "expires_on": str(int(time.time()) + self.life)}
        return Answer.json(200, fields | {"access_token": self.make("sender" if self.powerless else kind)})


class KafkaIdentity(Tokens):
    """Gives tokens without a signature, which is what the broker's own validator takes, to an application that asks for them
    by the client credentials grant."""

    def answer(self, asked: Asked) -> Answer:
        agreed = {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "scope": "kafka",
        }
        if not agreed.items() <= asked.form.items():
            return Answer.json(401, {"error": "invalid_client", "error_description": f"not {asked.form}"})
        now = int(time.time())
        claims = {"sub": "watershed", "iat": now, "exp": now + self.life, "jti": self.make("kafka")}
        parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        fields = {"access_token": f"{token}.", "expires_in": self.life, "token_type": "Bearer"}
        return Answer.json(200, fields)
