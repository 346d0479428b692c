from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache
from tomolift.data._greys import stream_greys
from tomolift.data._nifti import _fill as read_into
from tomolift.data.errors import CODES

Damage = Callable[[Any, str, str], None]

QUARANTINED = [
    "E_PATH", "E_MISSING", "E_GZIP", "E_GZIP_TRUNCATED", "E_GZIP_CRC", "E_SIZE", "E_HEADER",
    "E_4D", "E_SHAPE", "E_AFFINE", "E_LABEL", "E_NONFINITE",
]  # fmt: skip


@pytest.mark.parametrize("code", QUARANTINED)
def test_one_bad_volume_is_quarantined_with_its_code_and_the_rest_goes_on(
    task: Any, damage: Damage, tmp_path: Path, code: str
) -> None:
    assert code in CODES
    task.add("good")
    task.add("bad")
    damage(task, code, "bad")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.built == ("good",)
    assert list(report.failed) == ["bad"]
    assert report.failed["bad"].endswith(f"[{code}]")
    assert "\n" not in report.failed["bad"]
    assert str(tmp_path) not in report.failed["bad"]  # a cache tells no paths of its builder
    cache = open_cache(tmp_path / "cache")
    assert cache.cases == ("good",)
    assert cache.failed == report.failed
    with pytest.raises(BadInput, match="quarantined"):
        cache.raw("bad")


def test_a_nan_in_the_image_is_quarantined(task: Any, tmp_path: Path) -> None:
    image = np.zeros((7, 6, 5), np.float32)
    image[6, 5, 4] = np.nan
    task.add("good")
    task.add("bad", image)
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert "voxel (6, 5, 4) is nan" in report.failed["bad"]


def test_float64_beyond_float32_is_quarantined(task: Any, tmp_path: Path) -> None:
    task.add("good")
    task.add("bad", np.full((7, 6, 5), 1e300))
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.failed["bad"].endswith("[E_NONFINITE]")


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
