"""Forked children: imports are paid once, a kill or a crash hits nobody else."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def fork(work: Callable[[], int | None], *, output: Path) -> int:
    """Start `work` in a child that leads a process group; return its process id.

    Its exit status is what `work` returns, 0 for None, 70 where it raised. What it and its own
    children print goes to the file `output`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _work(work, output)
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)  # the child does so too: whoever comes first
    return pid


def _work(work: Callable[[], int | None], output: Path) -> NoReturn:
    status = 70
    try:
        os.setpgid(0, 0)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        # not the objects that a test runner put in their places
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        status = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """Return how a child ended: its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_group(pid: int) -> None:
    """Kill a child and all that it started, with SIGKILL."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def is_alive(group: int, *, within: float) -> bool:
    """Return whether any process is left of a group after so many seconds, dying ones included."""
    deadline = time.monotonic() + within
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(0.01)
