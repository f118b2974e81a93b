"""AWS at its door: who calls, by which key, and what IAM allows. Stand-ins of AWS let everybody in."""

import threading
from collections import Counter
from collections.abc import Callable

from .double import Answer, Asked
from .front import Front, error, operation
from .signature import Key, Signature

ACCOUNT = "000000000000"


class Guard(Front):
    """Passes on what was signed by a known key for this region, unless an IAM action that it takes is forbidden.

    `keys` gives the key of an id. `calls` counts what was let in, by operation and id of the key.
    """

    def __init__(self, to: int, region: str, keys: Callable[[str], Key | None]):
        self.calls: Counter[tuple[str, str]] = Counter()
        self.forbidden: str | None = None
        """An action, such as `kinesis:GetRecords`."""
        self.expired = False
        """True if every token has run out."""
        self._region = region
        self._keys = keys
        self._lock = threading.Lock()
        super().__init__(to)

    def callers(self) -> set[str]:
        """The ids of the keys by which calls were let in."""
        with self._lock:
            return {key for _, key in self.calls}

    def refuse(self, asked: Asked) -> Answer | None:
        signature = Signature.of(asked)
        if signature is None:
            return error("MissingAuthenticationTokenException", "Missing Authentication Token")
        if signature.region != self._region:
            return error("InvalidSignatureException", "Credential should be scoped to a valid region.")
        key = self._keys(signature.key)
        if key is None:
            return error("UnrecognizedClientException", "The security token included in the request is invalid.")
        if not signature.fits(asked, key):
            # As AWS does it: with what was to be signed, the token in it.
            told = "The request signature we calculated does not match the signature you provided."
            return error("InvalidSignatureException", f"{told} The canonical request was {dict(asked.headers)}")
        if self.expired:
            return error("ExpiredTokenException", "The security token included in the request is expired")
        return self._not_allowed(signature, operation(asked)) or self._let_in(operation(asked), key)

    def _let_in(self, what: str, key: Key) -> None:
        with self._lock:
            self.calls[what, key.id] += 1

    def _not_allowed(self, signature: Signature, what: str) -> Answer | None:
        user = f"User: arn:aws:iam::{ACCOUNT}:user/trial is not authorized to perform: {self.forbidden}"
        if self.forbidden == f"{signature.service}:{what}":
            return error("AccessDeniedException", f"{user} because no identity-based policy allows the action")
        # An encrypted stream is opened with the reader's own permission.
        if self.forbidden == "kms:Decrypt" and what == "GetRecords":
            return error("KMSAccessDeniedException", f"{user} on the resource associated with this ciphertext")
        return None
