"""A power cut after any operation of any writer: old state, new state or none, never another.

What is on the disk then is taken from a model (faulting.disk_model). After every operation these
cases are drawn: all that is not durable is kept, all is lost, each single change is lost, each
single write is torn, and random subsets are lost or torn. Equal states are tried once.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from faulting.children import fork, wait
from faulting.disk_model import Contents, Event, Recording
from faulting.operations import Operation, observed
from faulting.outcome import Outcome
from faulting.states import folder_bytes
from faulting.writers import Writer, every_writer

PROMISE = (
    "whatever a power cut loses of what was not fsynced, a reader finds the old state, the new one "
    "or none, the new one once the writer has returned, and the rerun ends in the same bytes"
)
RANDOM_SUBSETS = 4  # after every operation, beside those that are not random

Case = tuple[int, tuple[Event, ...], tuple[Event, ...]]  # operation, lost events, torn writes


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Try no more than `count` cases of each writer and start, drawn without replacement."""
    began = time.monotonic()
    generator = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    failures = []
    for writer in every_writer(scratch, seed=seed):
        for start in writer.starts:
            recording = record(writer, start, scratch)
            cases = list(cuts(recording, generator))
            chosen = generator.permutation(len(cases))[:count]
            counts[f"operations of {writer.name}"] += recording.operations
            counts[f"cases of {writer.name}"] += len(chosen)
            tried: set[int] = set()
            for index in sorted(chosen.tolist()):
                contents = recording.contents(*cases[index])
                is_last = cases[index][0] == recording.operations
                if (state := hash((is_last, *contents.items()))) in tried:
                    continue
                tried.add(state)
                if problem := attempt(writer, start, contents, is_last=is_last):
                    failures.append(f"{writer.name} from {start}, {told(cases[index])}: {problem}")
            counts[f"different states of {writer.name}"] += len(tried)
    states = sum(n for name, n in counts.items() if name.startswith("different"))
    figures = dict(sorted(counts.items()))
    seconds = time.monotonic() - began
    return Outcome("power-cut", PROMISE, states, tuple(failures), figures, seconds)


def record(writer: Writer, start: str, scratch: Path) -> Recording:
    """Let a writer run undisturbed and return all that it did.

    It runs in a child, so that its temporary files belong to a process that is no more.
    """
    writer.place(start)
    root = writer.root.parent
    recording = Recording(root)
    recording.begin_with(folder_bytes(root))
    file = scratch / "operations"

    def act() -> int:
        seen: list[tuple[object, ...]] = []

        def note(each: Operation) -> object:
            result = each.perform()  # what the system refuses leaves no trace
            kept = (each.path, None, each.target, each.data, each.offset, each.flags)
            seen.append((each.number, each.kind, *kept))
            return result

        with observed(root, note):
            status = writer.act()
        file.write_bytes(pickle.dumps(seen))
        return status

    if wait(fork(act, output=scratch / "output")):
        raise RuntimeError(f"{writer.name} failed: {(scratch / 'output').read_text()}")
    for fields in pickle.loads(file.read_bytes()):
        recording.note(Operation(*fields))
    if recording.contents(recording.operations) != folder_bytes(root):
        raise RuntimeError(f"{writer.name} from {start} wrote something that was not seen")
    return recording


def cuts(recording: Recording, generator: np.random.Generator) -> Iterator[Case]:
    """Yield the cases of every operation, the state before the first included."""
    for number in range(recording.operations + 1):
        pending = recording.pending(number)
        yield number, (), ()
        yield number, tuple(pending), ()
        for event in pending:
            yield number, (event,), ()
            if event.is_write:
                yield number, (), (event,)
        for _ in range(RANDOM_SUBSETS if len(pending) > 1 else 0):
            fate = generator.integers(4, size=len(pending))  # kept twice as often as lost
            lost = tuple(event for event, drawn in zip(pending, fate, strict=True) if drawn == 0)
            torn = tuple(event for event, drawn in zip(pending, fate, strict=True) if drawn == 1)
            yield number, lost, torn


def attempt(writer: Writer, start: str, contents: Contents, *, is_last: bool) -> str:
    """Put a state there, read, and write again; return what is wrong, empty for nothing."""
    root = writer.root.parent
    shutil.rmtree(root)
    for name, data in {"/": b"", **contents}.items():
        if name.endswith("/"):
            (root / name.strip("/")).mkdir()
        else:
            (root / name).write_bytes(data)
    problems = [writer.judge(start)]
    if is_last and not problems[0] and not writer.is_finished():
        problems.append("the writer had returned, and what it wrote is lost")
    with patch.object(os, "fsync", lambda descriptor: None):  # no power cut follows this one
        problems.append(writer.rerun())
    return "; ".join(problem for problem in problems if problem)


def told(case: Case) -> str:
    """Return a case in words."""
    number, lost, torn = case
    names = ", ".join(f"{event.name or event.size}" for event in lost) or "nothing"
    return f"cut after operation {number}, {names} lost, {len(torn)} writes torn"
