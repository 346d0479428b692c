from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import BadInput, DiskFailure, build_cache, check_cache, open_cache
from tomolift.data._cli import main


@pytest.fixture
def plain(task: Any, save_nifti: Callable[..., Path]) -> Any:
    """Two cases; ``plain`` is an uncompressed image, whose voxels can be edited where they lie."""
    task.add("a", seed=0, shape=(7, 6, 9))
    task.add("b", seed=1, shape=(7, 6, 9))
    image = np.random.default_rng(2).integers(-1000, 1000, (7, 6, 9)).astype(np.int16)
    save_nifti(task.folder / "imagesTr/plain.nii", image)
    task.add("plain", image)
    task.image("plain").unlink()
    task.entries[-1]["image"] = "./imagesTr/plain.nii"
    task.write()
    return task


@pytest.fixture
def cache(plain: Any, tmp_path: Path) -> Path:
    build_cache(plain.folder, tmp_path / "cache", depth=5, workers=1)
    return tmp_path / "cache"


def edited(path: Path, z: int, value: int) -> None:
    """Set voxel (0, 0, z) of an uncompressed image; size, time and last bytes stay."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    offset = 352 + 2 * 42 * z
    assert data[offset : offset + 2] != value.to_bytes(2, "little", signed=True)
    data[offset : offset + 2] = value.to_bytes(2, "little", signed=True)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def told(cache: Path, task: Any, **options: Any) -> list[tuple[str, str, str]]:
    defects = check_cache(cache, sources=task.folder, **options)
    return [(each.case, each.code, each.message) for each in defects]


@pytest.mark.parametrize("workers", [1, 2])
def test_unchanged_sources_have_no_defect(plain: Any, cache: Path, workers: int) -> None:
    assert check_cache(cache, sources=plain.folder, workers=workers) == ()


def test_an_edit_with_forged_size_time_and_trailer_is_found_with_its_slice(
    plain: Any, cache: Path
) -> None:
    edited(plain.folder / "imagesTr/plain.nii", 4, 17)
    open_cache(cache, task_dir=plain.folder)  # opening compares identity only
    ((case, code, message),) = told(cache, plain)
    assert (case, code) == ("plain", "E_CHANGED")
    assert "1 of 5 image slices (the first: 2)" in message  # source slice 4, cropped by 2


def test_an_edit_of_a_slice_that_the_crop_left_out_is_found_by_the_statistics(
    plain: Any, cache: Path
) -> None:
    edited(plain.folder / "imagesTr/plain.nii", 0, 5000)
    ((case, _, message),) = told(cache, plain)
    assert case == "plain"
    assert "contents changed: statistics differ" in message


def test_an_edit_of_the_header_is_found(plain: Any, cache: Path) -> None:
    path = plain.folder / "imagesTr/plain.nii"
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[112:116] = np.float32(2).tobytes()  # scl_slope
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    ((_, _, message),) = told(cache, plain)
    assert "slope" in message


def test_a_touched_file_is_told_to_have_the_same_contents(plain: Any, cache: Path) -> None:
    os.utime(plain.label("a"), ns=(1, 1))
    ((case, code, message),) = told(cache, plain)
    assert (case, code) == ("a", "E_CHANGED")
    assert "label file changed (mtime_ns); its contents are the same" in message


def test_a_file_packed_anew_is_told_to_have_the_same_contents(plain: Any, cache: Path) -> None:
    data = gzip.decompress(plain.image("a").read_bytes())
    plain.image("a").write_bytes(gzip.compress(data, compresslevel=0))
    ((_, _, message),) = told(cache, plain)
    assert "image file changed (size " in message
    assert "its contents are the same" in message


def test_every_change_is_listed_and_none_stops_the_others(plain: Any, cache: Path) -> None:
    plain.image("a").write_bytes(plain.image("a").read_bytes()[:-30])
    label = np.asarray(nib.load(plain.label("b")).dataobj).copy()
    label[:, :, 4] = 0
    nib.save(nib.Nifti1Image(label, np.diag([2.0, 3.0, 4.0, 1.0])), plain.label("b"))
    edited(plain.folder / "imagesTr/plain.nii", 3, 18)
    found = told(cache, plain)
    assert [(case, code) for case, code, _ in found] == [
        ("a", "E_CHANGED"), ("a", "E_GZIP_TRUNCATED"), ("b", "E_CHANGED"), ("b", "E_CHANGED"),
        ("plain", "E_CHANGED"),
    ]  # fmt: skip
    assert "was ok and is failed" in found[1][2]
    assert "1 of 5 label slices (the first: 2)" in found[3][2]
    assert "label_counts" in found[3][2]


def test_cases_that_are_gone_or_new_are_listed(plain: Any, cache: Path) -> None:
    gone = plain.entries.pop(0)
    plain.add("new", seed=5)
    assert gone["image"].endswith("a.nii.gz")
    assert [(case, "does not list" in message, "lists" in message) for case, _, message in told(
        cache, plain
    )] == [("new", False, True), ("a", True, False)]  # fmt: skip


def test_renamed_classes_are_listed(plain: Any, cache: Path) -> None:
    plain.labels = {"0": "background", "1": "tumour", "2": "organ"}
    plain.write()
    ((case, code, message),) = told(cache, plain)
    assert (case, code) == ("", "E_CHANGED")
    assert "and are ['background', 'tumour', 'organ']" in message


def test_a_cache_of_chosen_cases_does_not_miss_the_others(plain: Any, tmp_path: Path) -> None:
    build_cache(plain.folder, tmp_path / "few", depth=5, workers=1, cases=["b"])
    assert check_cache(tmp_path / "few", sources=plain.folder) == ()


def test_quarantined_and_dropped_cases_are_compared_too(task: Any, tmp_path: Path) -> None:
    task.add("good", seed=0)
    task.add("short", shape=(7, 6, 3))
    task.add("bad", label=np.full((7, 6, 5), 9, np.uint8))
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert check_cache(tmp_path / "cache", sources=task.folder) == ()
    task.entries.pop()
    task.add("bad", seed=3)
    found = told(tmp_path / "cache", task)
    assert "was failed and is ok (it can be built now)" in found[-1][2]
    assert {case for case, _, _ in found} == {"bad"}


def test_damage_of_the_cache_and_changes_of_the_sources_are_both_listed(
    plain: Any, cache: Path
) -> None:
    record = next(cache.glob("volumes/a.*.json"))
    record.write_bytes(record.read_bytes().replace(b'"z0":2', b'"z0":3'))
    edited(plain.folder / "imagesTr/plain.nii", 4, 17)
    assert [(case, code) for case, code, _ in told(cache, plain)] == [
        ("a", "E_CACHE"), ("plain", "E_CHANGED"),
    ]  # fmt: skip


def test_checking_leaves_neither_the_cache_nor_the_temporary_place_changed(
    plain: Any, cache: Path, tmp_path: Path, folder_bytes: Callable[[Path], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    edited(plain.folder / "imagesTr/plain.nii", 4, 17)
    before = folder_bytes(cache)
    assert told(cache, plain)
    assert folder_bytes(cache) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_full_temporary_place_is_told_with_its_cure(
    plain: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFailure, match=r"tomolift-.*No space left on device.*free space there"):
        check_cache(cache, sources=plain.folder)


def test_a_folder_that_is_no_task_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="E_DATASET_JSON"):
        check_cache(cache, sources=tmp_path / "nowhere")


def test_the_command_line_lists_changes_and_exits_1(
    plain: Any, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", str(cache), "--sources", str(plain.folder), "--workers", "1"]
    assert main(command) == 0
    assert capsys.readouterr().out == "no defects\n"
    edited(plain.folder / "imagesTr/plain.nii", 4, 17)
    assert main(command) == 1
    assert capsys.readouterr().out.startswith("plain: ")
    assert main([*command, "--json"]) == 1
    (defect,) = json.loads(capsys.readouterr().out)
    assert (defect["case"], defect["code"]) == ("plain", "E_CHANGED")
