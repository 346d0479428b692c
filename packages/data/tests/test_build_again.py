from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, build_cache, open_cache

Damage = Callable[[Any, str, str], None]
Bytes = Callable[[Path], dict[str, bytes]]


def test_a_second_build_reuses_everything_and_writes_nothing(
    task: Any, damage: Damage, tmp_path: Path
) -> None:
    task.add("a")
    task.add("b")
    damage(task, "E_LABEL", "b")
    first = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")}
    second = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert (second.built, second.reused, second.changed) == ((), ("a",), {})
    assert second.failed == first.failed
    assert second.fingerprint == first.fingerprint
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")}


def test_a_changed_source_is_named_and_only_it_is_rebuilt(task: Any, tmp_path: Path) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    before = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    task.entries.pop()
    task.add("b", seed=2)
    with pytest.raises(BadInput, match=r"case b: image file changed .*E_CHANGED"):
        open_cache(tmp_path / "cache", task_dir=task.folder)
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert (report.built, report.reused) == (("b",), ("a",))
    assert report.changed["b"].startswith("image file changed (")
    assert report.fingerprint != before.fingerprint
    open_cache(tmp_path / "cache", task_dir=task.folder)


def test_a_changed_configuration_is_named_and_everything_rebuilt(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=4, workers=1)
    report = build_cache(task.folder, tmp_path / "cache", depth=5, short="pad", workers=1)
    assert report.changed == {"a": "depth 4 -> 5, short drop -> pad"}
    assert open_cache(tmp_path / "cache").depth == 5
    build_cache(task.folder, tmp_path / "fresh", depth=5, short="pad", workers=1)
    assert folder_bytes(tmp_path / "cache") == folder_bytes(tmp_path / "fresh")


def test_a_cache_of_an_older_format_is_refused_and_rebuilt_which_says_so(
    task: Any, tmp_path: Path, folder_bytes: Bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.add("a")
    with monkeypatch.context() as older:
        for module in ("_finish", "_plan", "_sources"):
            older.setattr(f"tomolift.data.{module}.VERSION", 1)
        build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    with pytest.raises(BadInput, match=r"format is 'tomolift-cache' 1, .*build the cache again"):
        open_cache(tmp_path / "cache")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.changed == {"a": "cache format 1 -> 2"}
    build_cache(task.folder, tmp_path / "fresh", depth=5, workers=1)
    assert folder_bytes(tmp_path / "cache") == folder_bytes(tmp_path / "fresh")


def test_a_quarantined_case_is_taken_up_once_it_is_repaired(task: Any, tmp_path: Path) -> None:
    task.add("a")
    task.add("b")
    label = task.label("b").read_bytes()
    task.label("b").unlink()
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    task.label("b").write_bytes(label)
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.built == ("b",)
    assert report.changed == {"b": "label file appeared"}
    assert open_cache(tmp_path / "cache").failed == {}


def test_a_subset_of_cases_grows_without_rebuilding(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(4):
        task.add(f"c{index}", seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1, cases=["c2", "c0"])
    assert open_cache(tmp_path / "cache").cases == ("c0", "c2")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.reused == ("c0", "c2")
    build_cache(task.folder, tmp_path / "fresh", depth=5, workers=1)
    assert folder_bytes(tmp_path / "cache") == folder_bytes(tmp_path / "fresh")


@pytest.mark.parametrize("fate", ["failed", "dropped", "unlisted", "left out"])
def test_a_case_that_left_the_cache_leaves_no_file_and_no_line(
    task: Any, damage: Damage, tmp_path: Path, folder_bytes: Bytes, fate: str
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    cases = ["a"] if fate == "left out" else None
    if fate == "failed":
        damage(task, "E_GZIP", "b")
    elif fate == "dropped":
        task.entries.pop()
        task.add("b", shape=(7, 6, 4))
    elif fate == "unlisted":
        task.entries.pop()
        task.write()
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1, cases=cases)
    assert not list((tmp_path / "cache/volumes").glob("b.*"))
    build_cache(task.folder, tmp_path / "fresh", depth=5, workers=1, cases=cases)
    assert folder_bytes(tmp_path / "cache") == folder_bytes(tmp_path / "fresh")


def test_a_lost_or_shortened_file_is_built_again(task: Any, tmp_path: Path) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    os.truncate(next(tmp_path.glob("cache/volumes/a.*.image.npy")), 4100)
    with pytest.raises(BadInput, match=r"has 4100 bytes, expected .*E_CACHE"):
        open_cache(tmp_path / "cache")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.changed == {"a": "its files in the cache are gone or others"}
    open_cache(tmp_path / "cache")


def test_a_build_that_comes_to_nothing_leaves_the_old_cache_whole(
    task: Any, tmp_path: Path
) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    with pytest.raises(BadInput, match="E_EMPTY"):
        build_cache(task.folder, tmp_path / "cache", depth=70, workers=1)
    assert open_cache(tmp_path / "cache").depth == 5
