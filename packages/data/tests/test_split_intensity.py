"""Intensity by the statistics of a training split, against numpy over all its voxels."""

from __future__ import annotations

import gzip
import json
import math
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import (
    BadInput,
    Cache,
    ClippedZScore,
    Intensity,
    MinMax,
    Percentiles,
    SplitIntensity,
    SplitStatistics,
    Statistics,
    Window,
    ZScore,
    build_cache,
    fit_intensity,
    open_cache,
    read_volume,
    split_statistics,
)
from tomolift.data._statistics import PERCENTILES

Array = np.ndarray[Any, Any]
SHAPES = {"a": (7, 6, 4), "b": (5, 8, 9), "c": (6, 6, 6)}  # padded, cropped, exact at depth 6
CASES = tuple(SHAPES)


def set_slope(path: Path, slope: float, intercept: float) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2f", data, 112, slope, intercept)
    path.write_bytes(gzip.compress(data))


def make_cache(task: Any, tmp_path: Path, kind: str = "integers") -> Cache:
    for seed, (case, shape) in enumerate(SHAPES.items()):
        values = np.random.default_rng(seed).normal(40 * seed, 300, shape)
        is_float = kind == "floats" or (kind == "mixed" and case == "b")
        task.add(case, values.astype(np.float32 if is_float else np.int16), seed=seed)
        if kind == "one slope":
            set_slope(task.image(case), -0.5, 24)
        elif kind == "slopes":
            set_slope(task.image(case), 0.5 + seed, 7.25)
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def pooled(cache: Cache, cases: tuple[str, ...], voxels: str) -> Array:
    """All real values of the split, float64, that lie in the cache and are no padding."""
    parts = []
    for case in cases:
        info = cache[case]
        real = cache.raw(case).astype(np.float64) * info.slope + info.intercept
        labels = cache.labels(case)
        parts.append(real[(labels > 0 if voxels == "foreground" else labels >= 0) & (labels < 255)])
    return np.concatenate(parts)


@pytest.mark.parametrize("voxels", ["all", "foreground"])
@pytest.mark.parametrize("kind", ["integers", "one slope", "slopes", "floats", "mixed"])
def test_split_statistics_are_numpys_over_the_concatenated_voxels(
    task: Any, tmp_path: Path, kind: str, voxels: Any
) -> None:
    cache = make_cache(task, tmp_path, kind)
    split = split_statistics(cache, ("a", "b"), voxels=voxels)
    values = pooled(cache, ("a", "b"), voxels)
    # exact where one map from stored values holds for all; else of values rounded to float32
    rounding = 2**-23 if kind in ("slopes", "mixed") else 1e-12
    found = split.statistics
    assert split.num_voxels == len(values)
    assert list(found.percentiles) == list(PERCENTILES)
    np.testing.assert_allclose(
        [found.minimum, found.maximum, found.mean, found.std, *found.percentiles.values()],
        [values.min(), values.max(), values.mean(), values.std(),
         *np.percentile(values, PERCENTILES)],
        rtol=rounding, atol=rounding * 300,
    )  # fmt: skip


def test_the_order_of_the_cases_changes_nothing(task: Any, tmp_path: Path) -> None:
    cache = make_cache(task, tmp_path, "floats")
    forwards = split_statistics(cache, ("a", "b", "c"), voxels="all")
    assert split_statistics(cache, ("c", "a", "b"), voxels="all") == forwards
    assert forwards.cases == CASES


POLICIES = ["split:minmax", "split:zscore", "split:percentiles", "foreground:clipped-zscore"]


@pytest.mark.parametrize("text", POLICIES)
def test_a_case_outside_the_split_has_no_influence(task: Any, tmp_path: Path, text: str) -> None:
    before = fit_intensity(text, make_cache(task, tmp_path), ("a", "b"))
    generator = np.random.default_rng(99)
    task.entries.pop()
    task.add("c", generator.integers(-32768, 32768, SHAPES["c"]).astype(np.int16), seed=99)
    report = build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    assert report.built == ("c",)
    cache = open_cache(tmp_path / "cache")
    assert fit_intensity(text, cache, ("a", "b")) == before
    assert fit_intensity(text, cache, ("a", "c")) != before


@pytest.mark.parametrize("policy", [MinMax(), Percentiles(1, 99), ZScore(), ClippedZScore()])
def test_a_policy_of_a_split_is_that_policy_with_the_splits_statistics(policy: Intensity) -> None:
    percentiles = dict.fromkeys(PERCENTILES, 0.0) | {0.5: -90.0, 1.0: -80.0, 99.0: 70.0, 99.5: 80.0}
    split = Statistics(-100.0, 100.0, 3.0, 20.0, percentiles)
    volume = Statistics(-1000.0, 3000.0, 50.0, 400.0, {})
    assert SplitIntensity(policy, split).rescale(volume) == policy.rescale(split)


@pytest.mark.parametrize("kind", ["integers", "slopes", "floats"])
def test_slices_volumes_and_files_are_rescaled_by_the_split(
    task: Any, tmp_path: Path, kind: str
) -> None:
    cache = make_cache(task, tmp_path, kind)
    intensity = fit_intensity("foreground:clipped-zscore", cache, ("a", "b"))
    values = pooled(cache, ("a", "b"), "foreground")
    low, high = np.percentile(values, [0.5, 99.5])
    info = cache["c"]
    real = cache.raw("c").astype(np.float64) * info.slope + info.intercept
    expected = (np.clip(real, low, high) - values.mean()) / values.std()
    batches = cache.slices(batch=4, cases=("c",), shuffle=False, intensity=intensity, ring=0)
    fed = np.concatenate([images.numpy()[:, 0] for images, _ in batches])
    volume, _ = read_volume(task.image("c"), intensity=intensity)
    for found in (fed, cache.volume("c", intensity=intensity), volume):
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_policy_of_a_split_survives_json_and_pickling(task: Any, tmp_path: Path) -> None:
    cache = make_cache(task, tmp_path, "slopes")
    split = split_statistics(cache, ("a", "c"), voxels="foreground")
    assert SplitStatistics.from_json(json.loads(json.dumps(split.to_json()))) == split
    intensity = SplitIntensity(ClippedZScore(1, 99), split.statistics)
    again = SplitIntensity.from_json(json.loads(json.dumps(intensity.to_json())))
    assert again == intensity == pickle.loads(pickle.dumps(intensity))
    assert again.rescale(cache["b"].statistics) == intensity.rescale(cache["a"].statistics)


def test_fit_intensity_reads_ordinary_policies_as_they_are(task: Any, tmp_path: Path) -> None:
    cache = make_cache(task, tmp_path)
    assert fit_intensity("window:-100,240", cache, ("a",)) == Window(-100, 240)
    assert fit_intensity("minmax", cache, ("a",)) == MinMax()
    fitted = fit_intensity("split:percentiles:1,99", cache, ("a",))
    statistics = split_statistics(cache, ("a",), voxels="all").statistics
    assert fitted == SplitIntensity(Percentiles(1, 99), statistics)


@pytest.mark.parametrize("text", ["split", "split:", "split:hu", "fg:zscore", "split:split:zscore"])
def test_an_unknown_policy_of_a_split_is_refused(task: Any, tmp_path: Path, text: str) -> None:
    cache = make_cache(task, tmp_path)
    with pytest.raises(BadInput, match=r"^intensity: .* is no intensity policy; .*\[E_ARGUMENT\]$"):
        fit_intensity(text, cache, ("a",))


def test_a_window_of_a_split_is_refused(task: Any, tmp_path: Path) -> None:
    cache = make_cache(task, tmp_path)
    with pytest.raises(BadInput, match=r"for a window, which needs none; use window:0,1 "):
        fit_intensity("split:window:0,1", cache, ("a",))


def test_a_split_without_cases_or_foreground_is_refused(task: Any, tmp_path: Path) -> None:
    task.add("a", label=np.zeros((7, 6, 5), np.uint8))
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    cache = open_cache(tmp_path / "cache")
    for cases, message in (
        ((), r"^cases: is empty"),
        (("a", "a"), r"^cases: names a case twice"),
        (("b",), r"'b' is unknown"),
        (("a",), r"^cases: hold no foreground voxel: a; use all voxels or other cases"),
    ):
        with pytest.raises(BadInput, match=message) as caught:
            split_statistics(cache, cases, voxels="foreground")
        assert caught.value.code == "E_ARGUMENT"
    with pytest.raises(BadInput, match=r"^voxels: is 'some'; use all or foreground"):
        split_statistics(cache, ("a",), voxels="some")  # type: ignore[arg-type]
    assert split_statistics(cache, ("a",), voxels="all").num_voxels == 7 * 6 * 5


def test_values_beyond_float32_cannot_be_pooled_with_others(task: Any, tmp_path: Path) -> None:
    task.add("a")
    task.add("b")
    set_slope(task.image("b"), 1e38, 0)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    cache = open_cache(tmp_path / "cache")
    with pytest.raises(BadInput, match=r"^b: has grey values up to .*, beyond float32; .*E_INTENS"):
        split_statistics(cache, ("a", "b"), voxels="all")


def test_pooling_takes_the_memory_of_a_slice_not_of_a_volume(task: Any, tmp_path: Path) -> None:
    image = np.zeros((512, 512, 24), np.int16)
    image[::3] = 7
    task.add("a", image, (image > 0).astype(np.uint8))
    build_cache(task.folder, tmp_path / "cache", depth=24, workers=1)
    cache = open_cache(tmp_path / "cache")
    cache["a"]
    tracemalloc.start()
    split_statistics(cache, ("a",), voxels="foreground")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes / 2  # 12.6 MB: a slice is 0.5, its indices 2, the counts 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"mean": math.nan},
        {"std": -1.0},
        {"minimum": 10.0, "maximum": -10.0},
        {"maximum": 10**400},
        {"percentiles": {}},
        {"percentiles": [1, 2]},
        {"mean": None},
    ],
)
def test_statistics_that_no_volume_can_have_are_refused(change: dict[str, Any]) -> None:
    percentiles = dict.fromkeys(PERCENTILES, 0.5)
    sound = Statistics(0.0, 1.0, 0.5, 0.2, percentiles)
    forged = {**sound.to_json(), **change}
    assert Statistics.from_json(sound.to_json()) == sound
    with pytest.raises(ValueError, match="statistics:"):
        Statistics.from_json(forged)
    with pytest.raises(ValueError, match="statistics:"):
        SplitIntensity.from_json({"policy": "zscore", "statistics": forged})


def test_a_policy_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="no text"):
        SplitIntensity.from_json({"policy": 3, "statistics": {}})
