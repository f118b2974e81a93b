"""Proofs over real servers: every event that was sent is counted once, whatever happens on the way."""
