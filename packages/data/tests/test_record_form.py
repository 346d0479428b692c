"""Signed records that this package would never have written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, build_cache, check_cache, open_cache
from tomolift.data._format import canonical_json, signed

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def forge(task: Any, tmp_path: Path) -> Callable[[Change], Path]:
    """Change the record of a cache of one case; every checksum is right again."""

    def forged(change: Change) -> Path:
        task.add("a")
        cache = tmp_path / "cache"
        build_cache(task.folder, cache, depth=5, workers=1)
        (path,) = (cache / "volumes").glob("a.*.json")
        record = json.loads(path.read_bytes())
        change(record)
        path.write_bytes(canonical_json(signed(record)))
        manifest = json.loads((cache / "CACHE.json").read_bytes())
        data = path.read_bytes()
        manifest["entries"][0]["record_bytes"] = len(data)
        manifest["entries"][0]["record_crc32"] = zlib.crc32(data)
        (cache / "CACHE.json").write_bytes(canonical_json(signed(manifest)))
        return cache

    return forged


def test_a_record_that_is_only_signed_anew_is_believed(forge: Callable[[Change], Path]) -> None:
    cache = forge(lambda record: record.update(later=1))
    assert open_cache(cache)["a"].case == "a"
    assert check_cache(cache) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("image"),
        lambda record: record["label"].pop("slice_crc32"),
        lambda record: record["image"].update(slice_crc32=3),
        lambda record: record["image"].update(slice_crc32=[1, 2]),
        lambda record: record["image"].update(slice_crc32=["0"] * 5),
        lambda record: record.update(slope=0.0),
        lambda record: record.update(slope="nan"),
        lambda record: record.update(slope=10**400),
        lambda record: record.update(intercept="inf"),
        lambda record: record.update(zooms_mm=[1.0, 1.0]),
        lambda record: record.update(zooms_mm=[1.0, 1.0, 0.0]),
        lambda record: record.update(flips=[]),
        lambda record: record.update(statistics=[]),
        lambda record: record["statistics"].update(percentiles=[]),
        lambda record: record["statistics"].update(minimum=1e9),
        lambda record: record["statistics"].update(std=-1.0),
        lambda record: record["statistics"]["percentiles"].pop("50"),
        lambda record: record["affine"].__setitem__(0, [0.0, 0.0, 0.0, 0.0]),
        lambda record: record["source_affine"].__setitem__(1, ["nan", 1.0, 1.0, 1.0]),
        lambda record: record["label_counts"].__setitem__(0, [10**30, 0, 0]),
        lambda record: record["label_counts"].__setitem__(0, [-1, 43, 0]),
        lambda record: record["label_counts"].__setitem__(0, [1, 1, 1]),
        lambda record: record["label_counts"].__setitem__(0, [2**62, 2**62, 2**63 - 42]),
        lambda record: record.update(foreground_lost=-1),
        lambda record: record.update(encoding_error=-0.5),
    ],
)  # fmt: skip
def test_an_impossible_record_is_refused_by_opening_and_by_check(
    forge: Callable[[Change], Path], change: Change
) -> None:
    cache = forge(change)
    with pytest.raises(BadInput, match=r"a\.\w{16}\.json: has an impossible field .* \[E_CACHE\]"):
        open_cache(cache)["a"]
    assert "E_CACHE" in {defect.code for defect in check_cache(cache) if defect.case == "a"}
