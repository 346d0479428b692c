"""The harness that kills builds: nothing is lost now, and it sees what a worse build would lose."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tomolift.data import _files, _format, _plan

ROOT = Path(__file__).parent.parent


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from faulting import kills

    return kills


@pytest.mark.slow
def test_sixty_killed_builds_lose_nothing(kills: ModuleType, memory_folder: Path) -> None:
    outcome = kills.run(60, seed=1, scratch=memory_folder)
    assert outcome.failures == ()
    assert outcome.attempts == 60
    assert outcome.figures["kills at a drawn operation"] >= 15
    assert outcome.figures["kills at a drawn time"] >= 15
    assert outcome.figures["readers that saw no cache"] > 0
    assert outcome.figures["readers that saw the older cache"] > 0


def test_leftovers_of_dead_builds_are_seen(
    kills: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "remove_stale", lambda folder, **name: None)
    outcome = kills.run(8, seed=1, scratch=memory_folder)
    assert any("left over: tmp/case_" in failure for failure in outcome.failures)


def test_volumes_that_are_made_again_are_seen(
    kills: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_plan, "known_entries", lambda cache: {})
    outcome = kills.run(8, seed=1, scratch=memory_folder)
    assert any("finished volumes were made again" in failure for failure in outcome.failures)


def test_an_older_cache_that_goes_too_early_is_seen(
    kills: ModuleType, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = _format.CasePaths.of.__func__  # type: ignore[attr-defined]

    def without_key(cls: Any, cache_dir: Path, case: str, key: str) -> Any:
        return named(cls, cache_dir, case, "0" * len(key))

    monkeypatch.setattr(_format.CasePaths, "of", classmethod(without_key))
    outcome = kills.run(12, seed=1, scratch=memory_folder)
    assert any("a reader saw" in failure for failure in outcome.failures)
