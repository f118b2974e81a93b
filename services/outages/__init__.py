"""What a store can do to a daemon that writes to it under load: see `scripts/bench-outages.py`."""
