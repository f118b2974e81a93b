"""Our server stands in for Google Cloud Storage: others speak its JSON API, and object_store speaks the XML one."""

import json
import sys
from pathlib import Path

from .cache import HERE, Command
from .service import Service

BUCKET = "lake"

NOBODY = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
"""A key of a service account that asks for no token."""

PROGRAM = HERE / "gcs_server.py"


class Gcs(Service):
    name = "gcs"
    ready = "^ready"

    @classmethod
    def install(cls) -> None:
        """It is all here."""

    @classmethod
    def version(cls) -> str:
        return "our XML server"

    def command(self) -> Command:
        return [sys.executable, PROGRAM, str(self.port), self.folder / "data.sqlite", BUCKET]

    @property
    def credentials(self) -> Path:
        """A key that says where the server is."""
        path = self.folder / "credentials.json"
        path.write_text(json.dumps(NOBODY | {"gcs_base_url": f"http://{self.address}"}))
        return path

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_GCS": f"http://{self.address}", "WATERSHED_GCS_CREDENTIALS": str(self.credentials)}
