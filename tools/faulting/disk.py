"""A full or failing disk at every single operation of every writer.

Operation k is made to fail, for each k in turn: the disk is full (k, and whatever needs room
after it), gives one I/O error, dies (k and everything after it), or takes half of a write and
says so. Each time in a child of its own, which must say in one line what happened.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from faulting.children import fork, wait
from faulting.operations import Operation, React, observed
from faulting.outcome import Outcome
from faulting.writers import Writer, every_writer

PROMISE = (
    "a full disk, an I/O error or a short write at any operation of any writer ends in one clear "
    "line and a non-zero exit status, leaves what was there, and the rerun ends in the same bytes"
)
NEEDS_ROOM = ("open", "write", "fallocate", "mkdir")
EVERYTHING = (*NEEDS_ROOM, "truncate", "fsync", "rename", "unlink", "rmdir")


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Fail at no more than `count` operations of each writer, spread evenly; `seed` makes data."""
    began = time.monotonic()
    attempts: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    failures = []
    for writer in every_writer(scratch, seed=seed):
        for start in writer.starts:
            kinds = kinds_of_operations(writer, start)
            chosen = np.unique(np.linspace(1, len(kinds), min(count, len(kinds)), dtype=int))
            operations[writer.name] += len(chosen)
            for number in chosen.tolist():
                for fault, react in reactions(number, kinds[number - 1]):
                    attempts[fault] += 1
                    problem = attempt(writer, start, react, may_succeed=fault == "short write")
                    if problem:
                        what = f"{fault} at operation {number} ({kinds[number - 1]})"
                        failures.append(f"{writer.name} from {start}: {what}: {problem}")
    figures = {
        **{f"operations of {name}": n for name, n in sorted(operations.items())},
        **{f"attempts with {fault}": n for fault, n in sorted(attempts.items())},
    }
    seconds = time.monotonic() - began
    return Outcome("disk", PROMISE, attempts.total(), tuple(failures), figures, seconds)


def kinds_of_operations(writer: Writer, start: str) -> list[str]:
    """Return what an undisturbed writer does, operation by operation."""
    kinds = []

    def note(operation: Operation) -> object:
        kinds.append(operation.kind)
        return operation.perform()

    writer.place(start)
    with observed(writer.root.parent, note):
        writer.act()
    return kinds


def reactions(number: int, kind: str) -> Iterator[tuple[str, React]]:
    """Yield each way in which operation `number` can fail."""
    yield "a full disk", failing(number, errno.ENOSPC, afterwards=NEEDS_ROOM)
    yield "one I/O error", failing(number, errno.EIO)
    yield "a dead disk", failing(number, errno.EIO, afterwards=EVERYTHING)
    if kind == "write":
        yield "short write", short(number)


def failing(number: int, code: int, *, afterwards: tuple[str, ...] = ()) -> React:
    def react(operation: Operation) -> object:
        later = operation.number > number and operation.kind in afterwards
        if operation.number == number or later:
            # the kernel tells Python no name where a descriptor was given
            named = operation.kind not in ("write", "fallocate", "fsync")
            raise OSError(code, os.strerror(code), *([str(operation.path)] if named else []))
        return operation.perform()

    return react


def short(number: int) -> React:
    def react(operation: Operation) -> object:
        if operation.number == number:
            return operation.perform(operation.data[: len(operation.data) // 2])
        return operation.perform()

    return react


def attempt(writer: Writer, start: str, react: React, *, may_succeed: bool) -> str:
    """Let a writer meet a fault; return what is wrong with how it took it, empty for nothing."""
    writer.place(start)
    output = writer.root.parent.with_suffix(".output")

    def act() -> int:
        with observed(writer.root.parent, react):
            return writer.act()

    status = wait(fork(act, output=output))
    said = output.read_text()
    problems = [writer.judge(start)]
    if status == 0 and not may_succeed:
        problems.append("it ended as if all were well")
    if status != 0:
        problems.append(clarity(status, said, writer.root))
    problems.append(writer.rerun())
    return "; ".join(problem for problem in problems if problem)


def clarity(status: int, said: str, root: Path) -> str:
    """Return what is wrong with an error message; empty where nothing is."""
    lines = said.splitlines()
    if status != 2:
        return f"it ended with {status}: {lines[-1] if lines else 'and said nothing'}"
    if len(lines) != 1:
        return f"it said {len(lines)} lines: {said!r}"
    if str(root) not in said or not any(
        os.strerror(code) in said for code in (errno.ENOSPC, errno.EIO)
    ):
        return f"it did not say which folder has what: {said!r}"
    return ""
