"""Signatures of AWS, version 4, checked: whether a request was made by who holds the secret, and with it.

Written from AWS's description of the protocol, and independent of any client.
"""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from .double import Asked

SCHEME = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Key:
    """Credentials. Only the id may be seen by everybody."""

    id: str
    secret: str
    token: str | None = None


@dataclass(frozen=True)
class Signature:
    """What stands in the header `authorization`."""

    key: str
    date: str
    region: str
    service: str
    headers: str
    digest: str

    @classmethod
    def of(cls, asked: Asked) -> "Signature | None":
        scheme, _, rest = asked.headers.get("authorization", "").partition(" ")
        if scheme != SCHEME:
            return None
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, date, region, service, _ = fields["Credential"].split("/")
        return cls(key, date, region, service, fields["SignedHeaders"], fields["Signature"])

    def fits(self, asked: Asked, key: Key) -> bool:
        """True if `asked` was signed with the secret of `key`, as it arrived, and its token."""
        if asked.headers.get("x-amz-security-token") != key.token:
            return False
        scope = f"{self.date}/{self.region}/{self.service}/aws4_request"
        text = "\n".join([SCHEME, asked.headers["x-amz-date"], scope, _hash(self._canonical(asked).encode())])
        signer = f"AWS4{key.secret}".encode()
        for part in (self.date, self.region, self.service, "aws4_request"):
            signer = _mac(signer, part)
        return hmac.compare_digest(_mac(signer, text).hex(), self.digest)

    def _canonical(self, asked: Asked) -> str:
        """The request in the one form that is signed. What S3 is told of the body's hash is only believed if it is right."""
        headers = "".join(f"{name}:{' '.join(asked.headers[name].split())}\n" for name in self.headers.split(";"))
        pairs = parse_qsl(urlsplit(asked.target).query, keep_blank_values=True)
        query = "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs))
        return "\n".join([asked.method, asked.path, query, headers, self.headers, _hash(asked.body)])


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
