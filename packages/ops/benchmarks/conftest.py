"""Options, and the fixture that keeps a race's outcome in pytest-benchmark's JSON."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves test folders off the path

from measuring.machine import describe_machine
from measuring.result import Metric, summarise
from measuring.sizes import SIZES, Sizes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sizes",
        choices=tuple(SIZES),
        default="full",
        help="tiny shows in seconds that everything runs; its figures mean nothing",
    )
    parser.addoption("--threads", type=int, default=2, help="torch's threads, 2 as in the targets")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "gpu" in config.getoption("markexpr"):
        return
    folder = Path(__file__).parent
    for item in items:  # those of other folders, too
        if item.get_closest_marker("gpu") and item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.skip(reason="on CUDA only with -m gpu"))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    options = {name: config.getoption(f"--{name}", default=None) for name in ("sizes", "threads")}
    machine_info["tomolift"] = describe_machine() | options


@pytest.fixture(scope="session")
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return SIZES[request.config.getoption("--sizes", default="tiny")]


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before, wanted = torch.get_num_threads(), request.config.getoption("--threads", default=2)
    torch.set_num_threads(wanted)
    yield wanted
    torch.set_num_threads(before)


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
