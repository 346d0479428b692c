from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

ROUNDS = 15


@pytest.fixture
def against(benchmark: Any) -> Callable[..., float]:
    """Times ours by pytest-benchmark and, interleaved, ours and the reference for their ratio.

    What is kept is the ratio of the medians (extra_info): it moves less than the times do.
    """

    def run(ours: Callable[[], Any], reference: Callable[[], Any], **about: Any) -> float:
        torch.set_num_threads(2)
        times: dict[str, list[float]] = {"ours": [], "reference": []}
        ours()
        reference()
        for _ in range(ROUNDS):
            for name, call in (("ours", ours), ("reference", reference)):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
        ratio = statistics.median(times["reference"]) / statistics.median(times["ours"])
        benchmark.extra_info.update(about, ratio=round(ratio, 2))
        benchmark.pedantic(ours, rounds=5)
        print(f"\n{about}: {ratio:.1f} times as fast as the reference")
        return ratio

    return run
