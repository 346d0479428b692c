"""What the moment may have caused is told like any failure, and the next build tries again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import build_cache, verify_task
from tomolift.data._greys import stream_greys
from tomolift.data._nifti import _fill as read_into


def test_a_source_that_changes_while_it_is_read_is_quarantined(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.add("a")
    task.add("b")

    def slow(*arguments: Any, **options: Any) -> Any:
        if "b.nii" in arguments[0].name:
            os.utime(task.image("b"), ns=(1, 1))
        return stream_greys(*arguments, **options)

    monkeypatch.setattr("tomolift.data._ingest.stream_greys", slow)
    cache = tmp_path / "cache"
    report = build_cache(task.folder, cache, depth=5, workers=1, cases=["b", "a"])
    assert report.failed["b"].endswith("[E_CHANGED]")
    monkeypatch.undo()
    assert build_cache(task.folder, cache, depth=5, workers=1).failed == {}


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_a_source_that_cannot_be_read_is_quarantined_and_tried_again(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    calls = {task.image("a"): 0}

    def failing(file: Any, view: memoryview, path: Path) -> None:
        if path in calls:
            calls[path] += 1
            if calls[path] > reads:
                raise OSError(errno.EIO, "Input/output error")
        read_into(file, view, path)

    with monkeypatch.context() as patch:
        patch.setattr("tomolift.data._nifti._fill", failing)
        report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
        calls[task.image("a")] = 0
        (defect,) = verify_task(task.folder)
    assert (defect.case, defect.code) == ("a", "E_IO")
    assert report.built == ("b",)
    assert report.failed["a"].startswith("imagesTr/a.nii.gz: cannot be read to its end (Input/out")
    assert report.failed["a"].endswith("[E_IO]")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert (report.built, report.reused, report.failed, report.changed) == (("a",), ("b",), {}, {})


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE])
def test_a_source_that_could_not_be_opened_is_tried_again(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    opened = os.open

    def failing(path: Any, *arguments: Any, **options: Any) -> int:
        if path == task.label("a"):
            raise OSError(number, os.strerror(number))
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.failed["a"].endswith("[E_MISSING]")
    assert build_cache(task.folder, tmp_path / "cache", depth=5, workers=1).built == ("a",)
