"""Looks for mirrored checkpoints as Microsoft's clients do, by `azure-eventhub-checkpointstoreblob`; `azure-storage-blob` makes the container.

    python checkpoints.py make     makes the container `checkpoints` in the Azurite of WATERSHED_AZURITE
    python checkpoints.py show     prints the checkpoints of the double's hub, and fails without any
"""

import os
import sys

from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore
from azure.storage.blob import ContainerClient

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "checkpoints"
HUB = ("double.servicebus.windows.net", "hub", "$Default")


def main(what: str) -> None:
    settings = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={os.environ['WATERSHED_AZURITE']};"
    if what == "make":
        ContainerClient.from_connection_string(settings, CONTAINER).create_container()
        return
    with BlobCheckpointStore.from_connection_string(settings, CONTAINER) as store:
        checkpoints = list(store.list_checkpoints(*HUB))
    for checkpoint in checkpoints:
        print(checkpoint)
    assert checkpoints, "there are no checkpoints"


if __name__ == "__main__":
    main(sys.argv[1])
