"""Microsoft's Azurite stands in for Azure's blob storage, with its one well-known account."""

from .cache import Command
from .node import NodeService

ACCOUNT = "devstoreaccount1"


class Azurite(NodeService):
    name = "azurite"
    package = "azurite"
    ready = "successfully listens on"

    def command(self) -> Command:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.folder / "data"]
        quiet = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        return self.node("dist/src/blob/main.js", *place, *quiet)

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_AZURITE": f"http://{self.address}/{ACCOUNT}"}
