"""A small cache of blobs, fed to networks small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomolift import data


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> data.Cache:
    """Five phantom volumes of 32 x 32 in 16 slices, of which one in eight is shorter."""
    folder = tmp_path_factory.mktemp("cache")
    task: Path = data.write_phantom(folder / "task", cases=5, size=32, depth=16)
    data.build_cache(task, folder / "cache", depth=16, short="pad", workers=1)
    return data.open_cache(folder / "cache")
