from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache

Damage = Callable[[Any, str, str], None]
Bytes = Callable[[Path], dict[str, bytes]]


@pytest.mark.parametrize("short", ["drop", "pad"])
def test_depth_policy_drops_or_pads_short_volumes_and_crops_long_ones(
    task: Any, tmp_path: Path, short: Any
) -> None:
    task.add("short", shape=(7, 6, 3))
    task.add("even", shape=(7, 6, 6))
    task.add("long", shape=(7, 6, 11), label=np.ones((7, 6, 11), np.uint8))
    report = build_cache(task.folder, tmp_path / "cache", depth=6, short=short, workers=1)
    cache = open_cache(tmp_path / "cache")
    assert cache["long"].z0 == 2
    assert cache["long"].foreground_lost == 5 * 42
    assert report.notes["long"] == ("the crop lost 210 foreground voxels",)
    assert cache["even"].z0 == 0
    if short == "drop":
        assert report.dropped == cache.dropped == {"short": 3}
        with pytest.raises(BadInput, match="'short' is dropped"):
            cache["short"]
        return
    assert cache["short"].z0 == -2
    assert [bool((plane == 255).all()) for plane in cache.labels("short")] == [
        True, True, False, False, False, True,
    ]  # fmt: skip
    assert (cache.raw("short")[[0, 1, 5]] == cache["short"].minimum).all()
    assert cache["short"].ignored_per_slice.tolist() == [42, 42, 0, 0, 0, 42]


def test_statistics_are_of_the_whole_source_before_cropping(task: Any, tmp_path: Path) -> None:
    image = np.zeros((7, 6, 11), np.int16)
    image[..., 0], image[..., 10] = -500, 900
    task.add("a", image)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    info = open_cache(tmp_path / "cache")["a"]
    assert (info.minimum, info.maximum) == (-500, 900)


@pytest.mark.parametrize("depth", [4, 11, 14], ids=["cropped", "whole", "padded"])
@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 1, 0]], ids=["planes", "across"])
def test_percentiles_of_float_volumes_are_numpys_of_the_whole_source(
    task: Any, tmp_path: Path, depth: int, axes: list[int]
) -> None:
    image = np.random.default_rng(0).normal(40, 300, (7, 6, 11)).astype(np.float32)
    spacing = np.diag([2.0, 3.0, 4.0, 1.0])
    task.add("a", image.transpose(axes), affine=spacing[:, [*axes, 3]])
    build_cache(task.folder, tmp_path / "cache", depth=depth, short="pad", workers=1)
    info = open_cache(tmp_path / "cache")["a"]
    expected = np.percentile(image.astype(np.float64), list(info.percentiles))
    np.testing.assert_allclose(list(info.percentiles.values()), expected, rtol=1e-12)
    assert (info.minimum, info.maximum) == (image.min(), image.max())


def test_label_counts_are_those_of_the_cached_slices(task: Any, tmp_path: Path) -> None:
    task.add("a", shape=(7, 6, 5))
    build_cache(task.folder, tmp_path / "cache", depth=8, short="pad", workers=1)
    cache = open_cache(tmp_path / "cache")
    expected = [[int((plane == k).sum()) for k in range(3)] for plane in cache.labels("a")]
    assert cache["a"].label_counts.tolist() == expected


def test_numpy_opens_the_files_by_itself(task: Any, tmp_path: Path) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    image = np.load(next(tmp_path.glob("cache/volumes/a.*.image.npy")), mmap_mode="r")
    assert image.offset == 4096
    np.testing.assert_array_equal(image, open_cache(tmp_path / "cache").raw("a"))


def test_workers_change_no_byte(
    task: Any, damage: Damage, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(5):
        task.add(f"c{index}", seed=index)
    task.add("bad")
    damage(task, "E_GZIP_CRC", "bad")
    done: list[tuple[int, int]] = []
    report = build_cache(
        task.folder, tmp_path / "two", depth=5, workers=2,
        progress=lambda count, total, case, status: done.append((count, total)),
    )  # fmt: skip
    assert done == [(count, 6) for count in range(1, 7)]
    assert len(report.built) == 5
    build_cache(task.folder, tmp_path / "one", depth=5, workers=1)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_a_task_with_nothing_to_build_leaves_no_folder(
    task: Any, damage: Damage, tmp_path: Path
) -> None:
    task.add("a", shape=(7, 6, 5))
    task.add("b")
    damage(task, "E_GZIP", "b")
    with pytest.raises(BadInput, match=r"no volume is left: 1 failed .*\[E_GZIP\].*\[E_EMPTY\]$"):
        build_cache(task.folder, tmp_path / "cache", depth=70, workers=1)
    assert not (tmp_path / "cache").exists()


def test_a_missing_dataset_json_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="E_DATASET_JSON"):
        build_cache(tmp_path / "nowhere", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_contents_is_left_alone(task: Any, tmp_path: Path) -> None:
    task.add("a")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("precious")
    with pytest.raises(BadInput, match=r"neither empty nor a cache.*E_CACHE"):
        build_cache(task.folder, tmp_path / "thesis", depth=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"is a file.*E_CACHE"):
        build_cache(task.folder, tmp_path / "file", depth=5)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


@pytest.mark.parametrize(
    "options",
    [{"depth": 0}, {"depth": 5000}, {"short": "crop"}, {"axes": "RAS"}, {"workers": 0},
     {"cases": []}, {"cases": ["nobody"]}],
)  # fmt: skip
def test_impossible_options_are_refused(task: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    task.add("a")
    with pytest.raises(BadInput, match="E_ARGUMENT"):
        build_cache(task.folder, tmp_path / "cache", **options)
    assert not (tmp_path / "cache").exists()


def test_the_journal_holds_one_signed_line_per_case(task: Any, tmp_path: Path) -> None:
    task.add("b")
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    lines = (tmp_path / "cache/journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == ["a", "b"]
