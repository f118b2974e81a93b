"""Looks for mirrored checkpoints as Microsoft's clients do, by `azure-eventhub-checkpointstoreblob`.

    python checkpoints.py     prints the checkpoints of the double's hub in the Azurite of WATERSHED_AZURITE, and fails without any
"""

import os

from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "checkpoints"
HUB = ("double.servicebus.windows.net", "hub", "$Default")


def main() -> None:
    settings = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={os.environ['WATERSHED_AZURITE']};"
    with BlobCheckpointStore.from_connection_string(settings, CONTAINER) as store:
        checkpoints = list(store.list_checkpoints(*HUB))
    for checkpoint in checkpoints:
        print(checkpoint)
    assert checkpoints, "there are no checkpoints"


if __name__ == "__main__":
    main()
