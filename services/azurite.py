"""Microsoft's Azurite stands in for Azure's blob storage, with its one well-known account."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from http.client import HTTPConnection

from .cache import Command
from .node import NodeService

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

CONTAINERS = ("checkpoints", "lake")
"""There from the start: object_store can't make one."""

VERSION = "2021-08-06"


class Azurite(NodeService):
    name = "azurite"
    package = "azurite"
    ready = "successfully listens on"

    def command(self) -> Command:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.folder / "data"]
        quiet = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        return self.node("dist/src/blob/main.js", *place, *quiet)

    def wait_ready(self) -> None:
        super().wait_ready()
        for container in CONTAINERS:
            self._make(container)

    def variables(self) -> dict[str, str]:
        return {
            "WATERSHED_AZURITE": self.url,
            "WATERSHED_AZURITE_ACCOUNT": ACCOUNT,
            "WATERSHED_AZURITE_KEY": KEY,
        }

    @property
    def url(self) -> str:
        """The address of the account."""
        return f"http://{self.address}/{ACCOUNT}"

    def _make(self, container: str) -> None:
        """One request, signed with the account's key (Microsoft's "Authorize with Shared Key")."""
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{VERSION}\n{resource}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
        headers = {
            "x-ms-date": date,
            "x-ms-version": VERSION,
            "authorization": f"SharedKey {ACCOUNT}:{signature}",
            "content-length": "0",
        }
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"/{ACCOUNT}/{container}?restype=container", headers=headers)
        status = connection.getresponse().status
        connection.close()
        if status not in (201, 409):
            raise RuntimeError(f"azurite did not make the container {container}: {status}")
