"""The dense op in place on narrower instruction sets than this processor's widest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from losses.problem import Problem
from losses.races import run_module
from losses.sizes import Sizes
from measuring.result import cost, speed_up

from tomolift.ops import build_info

# From narrow to wide; each processor has all that stand before its widest.
NARROWER_THAN = {"baseline": (), "avx2": ("baseline",), "avx512": ("baseline", "avx2")}


@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_narrower_instructions_against_eager(
    sizes: Sizes, threads: int, keep: Callable[..., None], isa: str
) -> None:
    widest = str(build_info()["cpu_isa"])
    if isa not in NARROWER_THAN[widest]:
        pytest.skip(f"{isa} is not narrower than {widest}, which all other benchmarks use here")
    told = run_module("losses.forced_isa", sizes.name, str(threads), TOMOLIFT_CPU_ISA=isa)
    assert told["isa"] == isa
    times = told["times"]
    keep(
        times,
        group=Problem(sizes.dense).describe(),
        metrics={
            f"dense in place on {isa} / copy_": cost(times, "copy"),
            f"dense in place on {isa}, times eager": speed_up(times, "eager"),
        },
    )
