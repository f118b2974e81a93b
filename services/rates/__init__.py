"""Rates: how fast the program drains each kind of stream beside its server on one machine, and what holds it up.

A [stream](stream.py) knows its server, how to fill it, and a bare client of the same protocol that does nothing with what it
reads. The [meter](meter.py) times the program and that client, and reads the CPU time of both ends from the kernel: a server that
has no CPU to spare while the program has is the limit, and so is one that gives the bare client no more.
"""
