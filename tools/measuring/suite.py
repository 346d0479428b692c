"""What every benchmark suite's conftest has: the options, and the fixture that keeps a race.

A suite's conftest registers this module as a plugin, once for however many suites a run collects:
two suites cannot both declare an option.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from measuring.machine import describe_machine
from measuring.result import Metric, summarise

PLUGIN = "tomolift-benchmarks"
SIZES = ("full", "tiny")
OPTIONS = ("sizes", "threads")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sizes",
        choices=SIZES,
        default="full",
        help="tiny shows in seconds that everything runs; its figures mean nothing",
    )
    parser.addoption("--threads", type=int, default=2, help="torch's threads, 2 as in the targets")


def facts(config: pytest.Config, *, suite: str, isa: str) -> dict[str, object]:
    """What a suite puts under "tomolift" into pytest-benchmark's description of the machine."""
    options = {name: config.getoption(f"--{name}", default=None) for name in OPTIONS}
    return {"suite": suite} | describe_machine(isa=isa) | options


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Hands the seconds of "ours" to pytest-benchmark, and the ratios as its extra_info.

    pytest-benchmark times one function by itself, a race several in turns; so it is given a clock
    that goes by what the race has measured.
    """

    def record(
        times: Mapping[str, Sequence[float]],
        *,
        group: str,
        metrics: Mapping[str, Metric],
        **about: Any,
    ) -> None:
        clock = itertools.accumulate(times["ours"], initial=0.0)
        readings = itertools.chain.from_iterable(itertools.pairwise(clock))
        request.node.add_marker(pytest.mark.benchmark(timer=lambda: next(readings), group=group))
        benchmark = request.getfixturevalue("benchmark")
        device = "cuda" if request.node.get_closest_marker("gpu") else "cpu"
        benchmark.extra_info.update(
            summarise(times), device=device, group=group, metrics=dict(metrics), **about
        )
        benchmark.pedantic(lambda: None, rounds=len(times["ours"]))

    return record
