from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tomolift.data import BadInput
from tomolift.data._prefetch import prefetched


class Recorder:
    """Fills with its plan, and remembers; ``when`` may do something before a batch is filled."""

    def __init__(self, when: Callable[[int], None] = lambda index: None) -> None:
        self.when = when
        self.filled: list[int] = []

    def fill(self, index: int, plan: str) -> str:
        self.when(index)
        self.filled.append(index)
        return plan

    def deliver(self, filled: str) -> str:
        return filled.upper()


def feeding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tomolift-feeder"]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_batches_come_in_order_and_the_thread_ends_with_them() -> None:
    assert list(prefetched(Recorder(), "abcdefg", ring=3)) == list("ABCDEFG")
    wait_until(lambda: not feeding_threads())


@pytest.mark.parametrize(("ring", "ahead"), [(0, 3), (2, 2), (3, 2), (5, 2)])
def test_the_thread_runs_ahead_no_further_than_the_ring_allows(ring: int, ahead: int) -> None:
    """While the consumer holds its last ``ring - 1`` batches one more buffer is free."""
    recorder = Recorder()
    batches = prefetched(recorder, "abcdefghijkl", ring=ring)
    for drawn in range(1, 9):
        next(batches)
        allowed = max(ring, drawn - 1 + ahead)
        wait_until(lambda allowed=allowed: len(recorder.filled) >= allowed)
        time.sleep(0.005)
        assert len(recorder.filled) == allowed
    batches.close()


def test_an_error_comes_after_the_batches_that_were_filled_before_it() -> None:
    def fail(index: int) -> None:
        if index == 2:
            raise BadInput("E_CACHE", "c", "was rebuilt", "open it again")

    batches = prefetched(Recorder(fail), "abcdefg", ring=3)
    assert [next(batches), next(batches)] == ["A", "B"]
    with pytest.raises(BadInput, match="was rebuilt"):
        next(batches)
    wait_until(lambda: not feeding_threads())


def test_an_error_on_delivery_stops_the_thread() -> None:
    class Undeliverable(Recorder):
        def deliver(self, filled: str) -> str:
            raise MemoryError(filled)

    with pytest.raises(MemoryError, match="a"):
        next(prefetched(Undeliverable(), "abcdefg", ring=3))
    wait_until(lambda: not feeding_threads())


def test_a_hundred_iterators_left_early_leave_no_thread() -> None:
    for drawn in range(100):
        batches = prefetched(Recorder(), "abcdefg", ring=2 + drawn % 3)
        for _ in range(drawn % 5):
            next(batches)
        del batches
    gc.collect()
    wait_until(lambda: not feeding_threads())


def test_the_collector_may_close_an_iterator_in_its_own_thread() -> None:
    """A generator in a reference cycle is closed wherever the collector happens to run."""
    drawn, done = threading.Event(), threading.Event()

    def collect(index: int) -> None:
        if index == 1:
            drawn.wait(10)
            gc.collect()
            done.set()

    class Owner:
        pass

    owner: Any = Owner()
    owner.itself = owner
    owner.batches = prefetched(Recorder(collect), "abcdefg", ring=2)
    gc.disable()
    try:
        next(owner.batches)
        del owner
        drawn.set()
        assert done.wait(10)
    finally:
        gc.enable()
    wait_until(lambda: not feeding_threads())


def test_the_collector_may_close_an_iterator_whose_thread_waits_for_a_lock() -> None:
    """Whoever holds a lock allocates, and so collects: the thread cannot go on until it is done."""
    lock, waiting = threading.Lock(), threading.Event()

    def wait(index: int) -> None:
        if index == 2:
            waiting.set()
            with lock:
                pass

    batches = prefetched(Recorder(wait), "abcdefg", ring=2)
    with lock:
        next(batches)
        next(batches)
        assert waiting.wait(10)
        closing = threading.Thread(target=batches.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
    wait_until(lambda: not feeding_threads())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_is_told_that_it_has_no_thread() -> None:
    batches = prefetched(Recorder(), "abcdefg", ring=3)
    assert next(batches) == "A"
    child = os.fork()
    if child == 0:
        try:
            next(batches)
        except BadInput as error:
            os._exit(0 if "forked" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(batches) == list("BCDEFG")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_may_drop_the_iterator() -> None:
    batches = prefetched(Recorder(), "abcdefg", ring=3)
    next(batches)
    child = os.fork()
    if child == 0:
        batches.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(batches) == list("BCDEFG")


@pytest.mark.parametrize("last_line", ["", "raise SystemExit(0)", "keep = [batches]; keep += keep"])
def test_python_ends_though_an_iterator_was_left_open(last_line: str) -> None:
    script = f"""
import time
from tomolift.data._prefetch import prefetched
class Slow:
    def fill(self, index, plan): time.sleep(0.01 * index); return plan
    def deliver(self, filled): return filled
batches = prefetched(Slow(), "abcdefg", ring=3)
next(batches)
{last_line}
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
