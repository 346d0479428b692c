"""Modelled power cuts: every writer stands them, and one that forgets an fsync is found out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tomolift.data import _files

ROOT = Path(__file__).parent.parent


@pytest.fixture
def power_cut(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from faulting import power_cut

    return power_cut


def only(name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the other writers out."""
    every_writer = module.every_writer

    def chosen(scratch: Path, *, seed: int) -> list[Any]:
        return [each for each in every_writer(scratch, seed=seed) if each.name == name]

    monkeypatch.setattr(module, "every_writer", chosen)


def test_drawn_power_cuts_leave_old_or_new(power_cut: ModuleType, memory_folder: Path) -> None:
    outcome = power_cut.run(60, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    assert outcome.figures["cases of build"] == 180
    assert outcome.figures["different states of build"] > 90


def test_volumes_that_are_not_synced_are_found_out(
    power_cut: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("build", power_cut, monkeypatch)
    monkeypatch.setattr(_files.VolumeFile, "sync", lambda self: None)
    outcome = power_cut.run(150, seed=0, scratch=memory_folder)
    assert any("build" in failure and "different" in failure for failure in outcome.failures)


def test_renames_that_are_not_synced_are_found_out(
    power_cut: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename_only(temporary: Path, path: Path) -> None:
        temporary.replace(path)

    only("prediction", power_cut, monkeypatch)
    monkeypatch.setattr(_files, "publish", rename_only)
    outcome = power_cut.run(10_000, seed=0, scratch=memory_folder)
    assert any("what it wrote is lost" in failure for failure in outcome.failures)


def test_a_write_that_nobody_saw_is_found_out(
    power_cut: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = _files.os.write  # kept from before: the observer's replacement is not asked

    def unseen(self: _files.VolumeFile, data: memoryview, offset: int) -> None:
        _files.os.lseek(self._descriptor, offset, 0)
        write(self._descriptor, data)

    monkeypatch.setattr(_files.VolumeFile, "_write", unseen)
    with pytest.raises(RuntimeError, match="wrote something that was not seen"):
        power_cut.run(1, seed=0, scratch=memory_folder)
