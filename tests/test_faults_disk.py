"""Full and failing disks: every writer stands them, and a careless one is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tomolift.data import _build, _files

ROOT = Path(__file__).parent.parent
OPERATIONS = 10  # of each writer and start, spread evenly over all of them


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from faulting import disk

    return disk


def only(name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the other writers out."""
    every_writer = module.every_writer

    def chosen(scratch: Path, *, seed: int) -> list[Any]:
        return [each for each in every_writer(scratch, seed=seed) if each.name == name]

    monkeypatch.setattr(module, "every_writer", chosen)


@pytest.mark.slow
def test_faults_at_operations_of_every_writer_do_no_harm(
    disk: ModuleType, memory_folder: Path
) -> None:
    outcome = disk.run(OPERATIONS, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    faults = ("a full disk", "one I/O error", "a dead disk", "short write")
    assert all(outcome.figures[f"attempts with {fault}"] > 0 for fault in faults)
    assert outcome.figures["operations of build"] == 3 * OPERATIONS


def test_a_writer_that_keeps_an_error_to_itself_is_found_out(
    disk: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("build", disk, monkeypatch)
    write = _files.VolumeFile._write

    def careless(self: _files.VolumeFile, data: memoryview, offset: int) -> None:
        with suppress(OSError):
            write(self, data, offset)

    monkeypatch.setattr(_files.VolumeFile, "_write", careless)
    outcome = disk.run(OPERATIONS, seed=0, scratch=memory_folder)
    assert any("as if all were well" in failure for failure in outcome.failures)


def test_an_error_that_names_no_folder_is_found_out(
    disk: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("build", disk, monkeypatch)

    @contextmanager
    def untold(folder: Path) -> Iterator[None]:
        yield

    monkeypatch.setattr(_build, "disk_failures_told", untold)
    outcome = disk.run(3, seed=0, scratch=memory_folder)
    assert any("it did not say which folder has what" in failure for failure in outcome.failures)


def test_a_half_taken_write_that_goes_unnoticed_is_found_out(
    disk: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("build", disk, monkeypatch)

    def once(self: _files.VolumeFile, data: memoryview, offset: int) -> None:
        _files.os.pwrite(self._descriptor, data, offset)

    monkeypatch.setattr(_files.VolumeFile, "_write", once)
    outcome = disk.run(OPERATIONS, seed=0, scratch=memory_folder)
    assert any("short write" in failure and "different" in failure for failure in outcome.failures)
