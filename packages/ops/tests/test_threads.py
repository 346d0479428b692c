"""Threads: the same bits for any number of them, after a fork, and from several callers at once."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

# Both well above the size below which one thread is used.
DENSE = (2, 3, 9, 131, 127)
LOW, SIZE = (1, 3, 4, 37, 20), (1, 11, 120, 130)


def outcomes(evaluate: Callable[..., Any], options: dict[str, Any]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(DENSE, generator=generator)
    labels = torch.randint(0, 3, (2, *DENSE[2:]), generator=generator, dtype=torch.uint8)
    dense = evaluate(voxel_cross_entropy, logits, labels, **options)
    low = torch.randn(LOW, generator=generator)
    labels = torch.randint(0, 3, SIZE, generator=generator, dtype=torch.uint8)
    upsampled = evaluate(upsampled_cross_entropy, low, labels, **options)
    both = [tensor for outcome in (dense, upsampled) for tensor in vars(outcome).values()]
    return [*both, upsampled_argmax(low, SIZE[1:])]


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("options", [{}, {"weight": torch.tensor([0.2, 1.0, 3.0])}])
def test_any_number_of_threads_gives_the_same_bits(
    evaluate: Any, threads: int, options: dict[str, Any]
) -> None:
    torch.set_num_threads(1)
    alone = outcomes(evaluate, options)
    torch.set_num_threads(threads)
    for _ in range(3):
        together = outcomes(evaluate, options)
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    # made before the fork: torch's own OpenMP threads do not survive one, nor can the child fill
    # new memory with them
    torch.use_deterministic_algorithms(False)
    logits = torch.linspace(-3, 3, 3 * 300 * 300).reshape(1, 3, 300, 300)
    labels = torch.zeros(1, 300, 300, dtype=torch.uint8)

    def loss() -> float:
        return float(voxel_cross_entropy(logits, labels)[0])

    expected = loss()  # the parent's pool has its workers by now
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, f"{loss()!r} {loss()!r}".encode())
        finally:
            os._exit(0)
    os.close(write)
    # a child waiting for threads that it does not have would wait for ever
    answered, _, _ = select.select([read], [], [], 30.0)
    if not answered:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read) as answer:
        text = answer.read()
    assert text.split() == [repr(expected)] * 2


def test_callers_on_several_threads_do_not_disturb_each_other() -> None:
    logits = torch.randn(1, 3, 400, 400)
    labels = torch.randint(0, 3, (1, 400, 400), dtype=torch.uint8)
    expected = voxel_cross_entropy(logits, labels)
    wrong: list[int] = []

    def call(index: int) -> None:
        for _ in range(20):
            loss, confusion = voxel_cross_entropy(logits, labels)
            if not (torch.equal(loss, expected[0]) and torch.equal(confusion, expected[1])):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
