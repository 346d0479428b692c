"""Where the benchmarks find what they are made of; torch's threads, and the sizes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# importlib mode leaves both off the path
sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
sys.path.insert(0, str(Path(__file__).parent))

from losses.sizes import SIZES, Sizes
from measuring import suite

from tomolift.ops import build_info


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(suite.PLUGIN):
        pluginmanager.register(suite, suite.PLUGIN)


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
    isa = str(build_info()["cpu_isa"])
    machine_info["tomolift"] = suite.facts(config, suite="ops", isa=isa)


@pytest.fixture(scope="session")
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return SIZES[request.config.getoption("--sizes", default="tiny")]


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before, wanted = torch.get_num_threads(), request.config.getoption("--threads", default=2)
    torch.set_num_threads(wanted)
    yield wanted
    torch.set_num_threads(before)
