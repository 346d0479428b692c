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

from lifting.sizes import SIZES, Sizes
from measuring import suite
from measuring.machine import widest_instructions


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(suite.PLUGIN):
        pluginmanager.register(suite, suite.PLUGIN)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    machine_info["tomolift"] = suite.facts(config, suite="inflation", isa=widest_instructions())


@pytest.fixture(scope="session")
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return SIZES[request.config.getoption("--sizes", default="tiny")]


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before, wanted = torch.get_num_threads(), request.config.getoption("--threads", default=2)
    torch.set_num_threads(wanted)
    yield
    torch.set_num_threads(before)
