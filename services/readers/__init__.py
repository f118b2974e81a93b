"""Readers that are not ours, and what each of them sees in our lakes.

The one idea: rows are made in Python ([sample.py](sample.py)), written by the program into four lakes, and asked for by
every reader in its own way; an answer is right if it is those rows.

| file | what it holds |
|---|---|
| sample.py | rows of every type, and the region that writes them |
| lakes.py | the four lakes, and which of their files somebody opens |
| reader.py | what a reader is asked, and what it answers |
| libraries.py | readers that are Python libraries; each lives in a process of its own ([library.py](library.py)) |
| spark.py, trino.py | readers that are engines |
| measure.py | asks everybody everything |
| page.py | docs/readers.md |
"""
