"""Where the benchmarks find what they are made of; the volumes that they read, torch's threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

# importlib mode leaves both off the path
sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import suite
from measuring.machine import widest_instructions
from reading.saved_volumes import SavedVolumes
from reading.sizes import SIZES, Sizes
from reading.volumes import Volumes, write_noise, write_volumes

from tomolift.data import Cache, build_cache, open_cache


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(suite.PLUGIN):
        pluginmanager.register(suite, suite.PLUGIN)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    machine_info["tomolift"] = suite.facts(config, suite="data", isa=widest_instructions())


@pytest.fixture(scope="session")
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return SIZES[request.config.getoption("--sizes", default="tiny")]


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder of this run alone: at full sizes it takes a gigabyte."""
    with TemporaryDirectory(prefix="tomolift-benchmark-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def volumes(scratch: Path, sizes: Sizes) -> Volumes:
    """A task of synthetic CT volumes, and its cache."""
    return write_volumes(scratch, sizes)


@pytest.fixture(scope="session")
def saved(volumes: Volumes, scratch: Path) -> SavedVolumes:
    """The first volume in a file of torch.save."""
    return SavedVolumes(volumes, scratch / "saved", cases=volumes.cache.cases[:1])


@pytest.fixture(scope="session")
def small_task(scratch: Path, sizes: Sizes) -> Path:
    """Many small cases: where their number matters."""
    side = sizes.small_side
    return write_noise(scratch / "small", cases=sizes.small_cases, side=side, depth=side)


@pytest.fixture(scope="session")
def small(small_task: Path, scratch: Path, sizes: Sizes) -> Cache:
    """The cache of the small cases."""
    path = scratch / "small-cache"
    build_cache(small_task, path, depth=sizes.small_side, workers=1)
    return open_cache(path)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before, wanted = torch.get_num_threads(), request.config.getoption("--threads", default=2)
    torch.set_num_threads(wanted)
    yield
    torch.set_num_threads(before)
