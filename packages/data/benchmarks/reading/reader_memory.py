"""Private memory of processes that read a whole cache at the same time.

python -m reading.reader_memory CACHE prints {"forked": bytes, "spawned": ..., "imports": ...,
"seconds": [CPU time of a slice for each forked reader]}: forked from a process that has imported
torch, as a DataLoader's workers are, spawned, and what a spawned one takes before it opens the
cache. Private is what no other process shares: neither the page cache nor what a parent has
imported.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch
from measuring.resident_memory import private_bytes

from tomolift.data import open_cache
from tomolift.data.datasets import SliceDataset


def main(path: str) -> None:
    forked = read_at_once("fork", path, readers=4)
    spawned = read_at_once("spawn", path, readers=2)  # each imports torch anew
    told = {
        "forked": statistics.median(reader.after for reader in forked),
        "imports": statistics.median(reader.before for reader in spawned),
        "spawned": statistics.median(reader.after for reader in spawned),
        "seconds": [reader.seconds for reader in forked],
    }
    print(json.dumps(told))


@dataclass
class Reader:
    """Private bytes before the cache is opened and when all have read it; CPU seconds a slice."""

    process: BaseProcess
    end: Connection
    before: int = 0
    after: int = 0
    seconds: float = 0.0


def read_at_once(method: str, path: str, *, readers: int) -> list[Reader]:
    """Several processes that read every slice, and live until all have."""
    told = [start(method, path) for _ in range(readers)]
    for reader in told:
        reader.end.recv()
    for reader in told:
        reader.before = private_bytes(reader.process.pid)
    for reader in told:
        reader.end.send("read")
    for reader in told:
        reader.seconds = reader.end.recv()
    for reader in told:
        reader.after = private_bytes(reader.process.pid)
    for reader in told:
        reader.end.send("end")
        reader.process.join()
    return told


def start(method: str, path: str) -> Reader:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=read_all, args=(path, theirs))
    process.start()
    theirs.close()  # else nobody would be told that the reader has died
    return Reader(process, ours)


def read_all(path: str, parent: Connection) -> None:
    """Open the cache and read every slice of it when told to; live until told to end."""
    torch.set_num_threads(1)  # as a DataLoader does in its workers
    parent.send("started")
    parent.recv()
    start = time.process_time()
    dataset = SliceDataset(open_cache(path))
    for index in range(len(dataset)):
        image, label = dataset[index]
        # by numpy and without a temporary array: only what the reader itself takes shall count
        if not (image.numpy().max() <= 1 and label.numpy().max() < dataset.cache.num_classes):
            raise ValueError(f"slice {index} was not read well")
    parent.send((time.process_time() - start) / len(dataset))
    parent.recv()


if __name__ == "__main__":
    main(*sys.argv[1:])
