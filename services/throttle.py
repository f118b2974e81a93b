"""A Kinesis that has its bad moments: no stand-in throttles, or lets iterators expire."""

import json
import random
import threading
from collections import Counter
from dataclasses import replace

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


class HalfTaking(Front):
    """Takes a share of the records of each `PutRecords`, drawn from a seed, and refuses the rest as too many at a time; of
    some requests it takes what it takes, and fails to say so."""

    def __init__(self, to: int, share: float, seed: int = 1):
        self.refused = 0
        """Records."""
        self.silenced = 0
        """Requests."""
        self._share = share
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        super().__init__(to)

    def refuse(self, asked: Asked) -> Answer | None:
        if operation(asked) != "PutRecords":
            return None
        request = asked.json
        records = request["Records"]
        with self._lock:
            kept = [self._chance.random() < self._share for _ in records]
            silent = self._chance.random() < 0.1
            self.refused += kept.count(False)
            self.silenced += silent
        results = [{"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "too many"}] * len(records)
        if any(kept):
            taken = [record for record, keep in zip(records, kept, strict=True) if keep]
            answer = self.pass_on(replace(asked, body=json.dumps(request | {"Records": taken}).encode()))
            if answer.status != 200:
                return answer
            answered = iter(json.loads(answer.body)["Records"])
            results = [next(answered) if keep else refused for keep, refused in zip(kept, results, strict=True)]
        if silent:
            return error("InternalFailure", "a bad moment", 500)
        failed = sum("ErrorCode" in result for result in results)
        answer = {"FailedRecordCount": failed, "Records": results}
        return Answer.json(200, answer, "application/x-amz-json-1.1")
