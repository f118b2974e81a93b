"""A Kinesis that has its bad moments: no stand-in throttles, or lets iterators expire."""

import random
import threading
from collections import Counter

from .double import Answer, Asked
from .front import Front, error, operation

FAULTS = {
    "ProvisionedThroughputExceededException": (400, {"GetRecords", "GetShardIterator"}),
    "ExpiredIteratorException": (400, {"GetRecords"}),
    "LimitExceededException": (400, {"ListShards", "DescribeStreamSummary"}),
    "InternalFailure": (500, {"GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"}),
}
"""What may go wrong, with which status, in which calls."""


class FaultyKinesis(Front):
    """Passes calls on, but answers a share of them, drawn from a seed, with an error of Kinesis."""

    def __init__(self, to: int, share: float, seed: int = 1):
        self.injected: Counter[str] = Counter()
        self._share = share
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        super().__init__(to)

    def refuse(self, asked: Asked) -> Answer | None:
        fault = self.draw(operation(asked))
        return error(fault, "a bad moment", FAULTS[fault][0]) if fault else None

    def draw(self, operation: str) -> str | None:
        """The fault of this call, if it is to have one."""
        with self._lock:
            possible = [fault for fault, (_, operations) in FAULTS.items() if operation in operations]
            if not possible or self._chance.random() >= self._share:
                return None
            fault = self._chance.choice(possible)
            self.injected[fault] += 1
            return fault
