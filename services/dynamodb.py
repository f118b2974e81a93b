"""Dynalite stands in for DynamoDB: conditional writes decide races as the real one does. No TransactWriteItems."""

from .cache import Command
from .node import NodeService


class DynamoDb(NodeService):
    name = "dynamodb"
    package = "dynalite"
    ready = "Dynalite listening at"

    def command(self) -> Command:
        quick = ["--createTableMs", "50", "--deleteTableMs", "50", "--updateTableMs", "50"]
        return self.node("cli.js", "--port", str(self.port), "--path", self.folder / "data", *quick)

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_DYNAMODB": f"http://{self.address}"}
