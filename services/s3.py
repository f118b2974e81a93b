"""moto stands in for S3: its conditional puts are right, and it can hold a user to a policy. It forgets everything."""

import re
from http.client import HTTPConnection
from pathlib import Path

from .cache import HERE, Command
from .python import environment
from .service import Service

REQUIREMENTS = HERE / "requirements-s3.txt"

BUCKET = "lake"
"""There from the start: object_store can't make one."""

REGION = "eu-west-1"


class S3(Service):
    name = "s3"
    ready = r"Running on http"

    @classmethod
    def install(cls) -> None:
        cls.programs()

    @classmethod
    def programs(cls) -> Path:
        return environment("moto", REQUIREMENTS)

    @classmethod
    def version(cls) -> str:
        (number,) = re.findall(r"^moto==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
        return f"moto {number}"

    def command(self) -> Command:
        return [self.programs() / "moto_server", "--host", "127.0.0.1", "--port", str(self.port)]

    def wait_ready(self) -> None:
        super().wait_ready()
        where = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        # moto takes the region from the credentials that a request is signed with, whoever has signed it.
        scope = f"Credential=test/20260101/{REGION}/s3/aws4_request"
        connection.request("PUT", f"/{BUCKET}", where, {"authorization": f"AWS4-HMAC-SHA256 {scope}"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"moto did not make the bucket {BUCKET}: {answer.status} {answer.read()!r}")
        connection.close()

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_S3": f"http://{self.address}"}
