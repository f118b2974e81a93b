"""Stores at their doors: who shows credentials that are known is let in. Stand-ins let everybody in, or know no identity."""

import re
import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from . import azurite
from .double import Answer, Asked
from .front import Front
from .s3 import BUCKET
from .signature import Key, Signature


class StoreGuard(Front):
    """Passes on the requests of those who are known, and remembers by what."""

    def __init__(self, to: int):
        self._shown: set[str] = set()
        self._seen = threading.Lock()
        super().__init__(to)

    @property
    def shown(self) -> set[str]:
        """What was shown by whoever was let in: ids of keys, or tokens."""
        with self._seen:
            return set(self._shown)

    @abstractmethod
    def known(self, asked: Asked) -> str | None:
        """What is shown, if it opens this door."""

    def refuse(self, asked: Asked) -> Answer | None:
        shown = self.known(asked)
        if shown is None:
            told = "<Error><Code>AccessDenied</Code><Message>nobody that is known</Message></Error>"
            return Answer(403, told.encode(), {"content-type": "application/xml"})
        with self._seen:
            self._shown.add(shown)
        return None


class S3Guard(StoreGuard):
    """Knows who signs with a key that `keys` gives for its id."""

    def __init__(self, to: int, keys: Callable[[str], Key | None]):
        self._keys = keys
        super().__init__(to)

    def known(self, asked: Asked) -> str | None:
        signature = Signature.of(asked)
        key = signature and self._keys(signature.key)
        return key.id if key and signature.fits(asked, key) else None


class TokenGuard(StoreGuard):
    """Knows who bears a token that is `good`."""

    def __init__(self, to: int, good: Callable[[str], bool]):
        self._good = good
        super().__init__(to)

    def known(self, asked: Asked) -> str | None:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" and self._good(token) else None


SHARED_KEY = "SharedKey"
"""What was shown by who signs with the key of the account: of that, Azurite itself is the judge."""


class AzureGuard(TokenGuard):
    """The same before Azurite, which takes tokens over TLS alone: in their place it is shown a signature of its account."""

    def __init__(self, to: int, good: Callable[[str], bool]):
        from azure.storage.blob import generate_container_sas

        key, tomorrow = {"account_key": azurite.KEY, "permission": "rwdlac"}, datetime.now(UTC) + timedelta(days=1)
        self._signature = generate_container_sas(azurite.ACCOUNT, BUCKET, **key, expiry=tomorrow)
        super().__init__(to, good)

    def known(self, asked: Asked) -> str | None:
        signed = asked.headers.get("authorization", "").startswith(f"{SHARED_KEY} {azurite.ACCOUNT}:")
        return SHARED_KEY if signed else super().known(asked)

    def pass_on(self, asked: Asked) -> Answer:
        if self.known(asked) == SHARED_KEY:
            return super().pass_on(asked)
        del asked.headers["authorization"]
        return super().pass_on(replace(asked, target=self._signed(asked.target), body=self._each_signed(asked)))

    def _signed(self, target: str) -> str:
        return f"{target}{'&' if '?' in target else '?'}{self._signature}"

    def _each_signed(self, asked: Asked) -> bytes:
        """The body. That of a batch consists of requests, of which each shows the token."""
        if asked.query.get("comp") != "batch":
            return asked.body
        body = re.sub(rb"(?im)^authorization:[^\r\n]*\r\n", b"", asked.body)
        request = re.compile(rb"(?m)^DELETE (\S+) HTTP")
        return request.sub(lambda found: f"DELETE {self._signed(found[1].decode())} HTTP".encode(), body)
