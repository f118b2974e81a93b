"""A store of which everything seems to have been written long ago: what is young is let alone for an hour."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from .double import Answer, Asked
from .front import Front

WRITTEN = re.compile(rb"<(Last-?Modified)>([^<]*)<")


class Aged(Front):
    """Passes everything on; what is listed is older by `by` than it is."""

    def __init__(self, to: int, by: timedelta):
        self._by = by
        super().__init__(to)

    def refuse(self, asked: Asked) -> None:
        return None

    def pass_on(self, asked: Asked) -> Answer:
        answer = super().pass_on(asked)
        listed = asked.method == "GET" and (asked.query.get("comp") == "list" or "list-type" in asked.query)
        if not listed:
            return answer
        return Answer(answer.status, WRITTEN.sub(self._older, answer.body), answer.headers)

    def _older(self, found: re.Match[bytes]) -> bytes:
        """The moment as it was spelled: by RFC 3339, or as in a mail."""
        name, told = found[1].decode(), found[2].decode()
        if told.endswith("Z"):
            then = datetime.fromisoformat(told) - self._by
            told = then.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        else:
            told = format_datetime((parsedate_to_datetime(told) - self._by).astimezone(UTC), usegmt=True)
        return f"<{name}>{told}<".encode()
