from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache
from tomolift.data._files import VolumeFile, append_durably, locked
from tomolift.data._greys import stream_greys
from tomolift.data._nifti import _fill as read_into
from tomolift.data.errors import CODES

Bytes = Callable[[Path], dict[str, bytes]]


def rewrite(path: Path, change: Callable[[bytearray], Any]) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()))
    change(data)
    path.write_bytes(gzip.compress(bytes(data)))


def four_dimensional(data: bytearray) -> None:
    data[40:50] = np.array([4, 7, 6, 5, 2], "<i2").tobytes()


def damage(task: Any, code: str, name: str) -> None:
    """Spoil one case of a task so that it must be quarantined with ``code``."""
    image, label = task.image(name), task.label(name)
    packed = image.read_bytes()
    grid = np.zeros((7, 6, 5))
    if code == "E_PATH":
        task.entries[-1]["label"] = "../outside.nii.gz"
        task.write()
    elif code == "E_MISSING":
        label.unlink()
    elif code == "E_GZIP":
        image.write_bytes(b"<html>404</html>")
    elif code == "E_GZIP_TRUNCATED":
        image.write_bytes(packed[:-30])
    elif code == "E_GZIP_CRC":
        image.write_bytes(packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:])
    elif code == "E_SIZE":
        rewrite(image, lambda data: data.extend(b"more"))
    elif code == "E_HEADER":
        rewrite(image, lambda data: data.__setitem__(slice(42, 44), b"\xff\xff"))
    elif code == "E_4D":
        rewrite(image, four_dimensional)
    elif code == "E_SHAPE":
        task.add("other", label=np.zeros((7, 6, 4), np.uint8))
        label.write_bytes(task.label("other").read_bytes())
        task.entries.pop()
        task.write()
    elif code == "E_AFFINE":
        rewrite(label, lambda data: data.__setitem__(slice(292, 296), b"\0\0\x80\x3f"))
    elif code in ("E_LABEL", "E_NONFINITE"):
        grid[3, 2, 1] = 3 if code == "E_LABEL" else np.nan
        task.entries.pop()
        task.add(name, label=grid.astype(np.float32))


QUARANTINED = [
    "E_PATH", "E_MISSING", "E_GZIP", "E_GZIP_TRUNCATED", "E_GZIP_CRC", "E_SIZE", "E_HEADER",
    "E_4D", "E_SHAPE", "E_AFFINE", "E_LABEL", "E_NONFINITE",
]  # fmt: skip


@pytest.mark.parametrize("code", QUARANTINED)
def test_one_bad_volume_is_quarantined_with_its_code_and_the_rest_goes_on(
    task: Any, tmp_path: Path, code: str
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


def test_label_counts_are_those_of_the_cached_slices(task: Any, tmp_path: Path) -> None:
    task.add("a", shape=(7, 6, 5))
    build_cache(task.folder, tmp_path / "cache", depth=8, short="pad", workers=1)
    cache = open_cache(tmp_path / "cache")
    expected = [[int((plane == k).sum()) for k in range(3)] for plane in cache.labels("a")]
    assert cache["a"].label_counts.tolist() == expected


def test_numpy_opens_the_files_by_itself(task: Any, tmp_path: Path) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    image = np.load(tmp_path / "cache/volumes/a.image.npy", mmap_mode="r")
    assert image.offset == 4096
    np.testing.assert_array_equal(image, open_cache(tmp_path / "cache").raw("a"))


def test_a_second_build_reuses_everything_and_writes_nothing(task: Any, tmp_path: Path) -> None:
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
    task: Any, tmp_path: Path, folder_bytes: Bytes, fate: str
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
    os.truncate(tmp_path / "cache/volumes/a.image.npy", 4100)
    with pytest.raises(BadInput, match=r"has 4100 bytes, expected .*E_CACHE"):
        open_cache(tmp_path / "cache")
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.changed == {"a": "its files in the cache are gone or others"}
    open_cache(tmp_path / "cache")


def test_a_torn_journal_line_costs_its_volume_only(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(3):
        task.add(f"c{index}", seed=index)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1)
    whole = folder_bytes(cache)
    for cut in (1, 7, 300):
        (cache / "journal.jsonl").write_bytes(whole["journal.jsonl"][:-cut])
        (cache / "CACHE.json").unlink()
        report = build_cache(task.folder, cache, depth=5, workers=1)
        assert len(report.built) <= 1
        assert folder_bytes(cache) == whole


def test_workers_change_no_byte(task: Any, tmp_path: Path, folder_bytes: Bytes) -> None:
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


def test_a_build_killed_at_any_moment_ends_in_the_same_bytes(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(6):
        task.add(f"c{index}", seed=index, shape=(64, 64, 40))
    build_cache(task.folder, tmp_path / "whole", depth=48, short="pad", workers=1)
    whole = folder_bytes(tmp_path / "whole")
    program = (
        "import sys; from tomolift.data import build_cache; print(flush=True);"
        "build_cache(sys.argv[1], sys.argv[2], depth=48, short='pad', workers=1)"
    )
    generator = np.random.default_rng(0)
    seen_partial = 0
    for attempt in range(8):
        cache = tmp_path / f"killed{attempt}"
        command = [sys.executable, "-c", program, str(task.folder), str(cache)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # imports are done
            time.sleep(generator.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
        if not (cache / "CACHE.json").exists():
            seen_partial += 1
            with pytest.raises(BadInput, match="E_CACHE"):
                open_cache(cache)
        build_cache(task.folder, cache, depth=48, short="pad", workers=1)
        assert folder_bytes(cache) == whole
    assert seen_partial  # otherwise the kills came too late to show anything


def test_a_rebuild_killed_at_any_step_and_taken_back_ends_in_the_same_bytes(
    task: Any, tmp_path: Path
) -> None:
    """The other configuration gives volumes of the same size: only contents tell them apart."""
    for index, name in enumerate("ab"):
        task.add(name, seed=index, shape=(5, 5, 5), affine=np.diag([-2.0, -3.0, 4.0, 1.0]))
    program = """
import os, sys
from pathlib import Path
from tomolift.data import build_cache, check_cache
def build(cache, axes):
    return build_cache(sys.argv[1], cache, depth=5, workers=1, axes=axes)
def contents(cache):
    return {path.name: path.read_bytes() for path in Path(cache).rglob("*") if path.is_file()}
build(sys.argv[2], "canonical")
whole, steps, status = contents(sys.argv[2]), 0, 9
while status == 9:  # every removal, rename and append ends in an fsync
    if (child := os.fork()) == 0:
        fsync, left = os.fsync, steps
        def dying(descriptor):
            global left
            left -= 1
            if left < 0:
                os._exit(9)
            fsync(descriptor)
        os.fsync = dying
        build(sys.argv[2], "stored")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    build(sys.argv[2], "canonical")
    assert contents(sys.argv[2]) == whole, steps
    assert check_cache(sys.argv[2]) == ()
    steps += 1
print(steps, status)
"""
    command = [sys.executable, "-c", program, str(task.folder), str(tmp_path / "cache")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    steps, status = map(int, done.stdout.split())
    assert status == 0
    assert steps > 20


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


def test_builders_at_once_without_a_lock_end_in_one_cache(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(4):
        task.add(f"c{index}", seed=index, shape=(32, 32, 20))
    build_cache(task.folder, tmp_path / "whole", depth=20, workers=1)
    program = (
        "import fcntl, sys; fcntl.flock = lambda *_: None; from tomolift.data import build_cache;"
        "build_cache(sys.argv[1], sys.argv[2], depth=20, workers=1)"
    )
    command = [sys.executable, "-c", program, str(task.folder), str(tmp_path / "cache")]
    builders = [subprocess.Popen(command) for _ in range(4)]
    assert [builder.wait(timeout=60) for builder in builders] == [0] * 4
    assert folder_bytes(tmp_path / "cache") == folder_bytes(tmp_path / "whole")


def test_a_worker_that_dies_is_told_and_the_build_resumes(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(3):
        task.add(f"c{index}", seed=index)
    program = tmp_path / "unguarded.py"
    program.write_text(
        "import sys; from tomolift.data import build_cache\n"
        "build_cache(sys.argv[1], sys.argv[2], depth=5, workers=2)\n"
    )
    command = [sys.executable, str(program), str(task.folder), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "guard the script with" in done.stderr.splitlines()[-1]
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert len(report.built) == 3


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


def test_a_full_disk_is_no_property_of_a_case(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_bytes: Bytes
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)

    def full(self: VolumeFile, data: memoryview, offset: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VolumeFile, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert not (tmp_path / "cache/CACHE.json").exists()
    report = build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert report.built == ("a", "b")


def test_a_task_with_nothing_to_build_leaves_no_folder(task: Any, tmp_path: Path) -> None:
    task.add("a", shape=(7, 6, 5))
    task.add("b")
    damage(task, "E_GZIP", "b")
    with pytest.raises(BadInput, match=r"no volume is left: 1 failed .*\[E_GZIP\].*\[E_EMPTY\]$"):
        build_cache(task.folder, tmp_path / "cache", depth=70, workers=1)
    assert not (tmp_path / "cache").exists()


def test_builds_that_wait_for_one_that_comes_to_nothing_come_to_nothing_too(
    task: Any, tmp_path: Path
) -> None:
    task.add("a", shape=(7, 6, 5))

    def build(_: int) -> str:
        with pytest.raises(BadInput) as caught:
            build_cache(task.folder, tmp_path / "cache", depth=70, workers=1)
        return caught.value.code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(build, range(48))) == {"E_EMPTY"}
    assert not (tmp_path / "cache").exists()


def test_a_lock_that_was_removed_while_waiting_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "cache/lock"
    there = []

    def wait() -> None:
        with locked(path):
            there.append(path.exists())

    with locked(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        path.unlink()
        path.parent.rmdir()
    waiting.join(timeout=10)
    assert there == [True]


def test_a_new_journal_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", note)
    append_durably(tmp_path / "journal.jsonl", b"1\n")
    append_durably(tmp_path / "journal.jsonl", b"2\n")
    journal = str(tmp_path / "journal.jsonl")
    assert synced == [journal, str(tmp_path), journal]


def test_a_build_that_comes_to_nothing_leaves_the_old_cache_whole(
    task: Any, tmp_path: Path
) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    with pytest.raises(BadInput, match="E_EMPTY"):
        build_cache(task.folder, tmp_path / "cache", depth=70, workers=1)
    assert open_cache(tmp_path / "cache").depth == 5


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


def test_temporary_files_of_dead_processes_are_swept_and_of_live_ones_kept(
    task: Any, tmp_path: Path
) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    host = socket.gethostname().partition(".")[0]
    dead = tmp_path / f"cache/tmp/a.image.{host}.4194304.01234567.tmp"
    torn = tmp_path / f"cache/CACHE.json.{host}.4194304.01234567.tmp"
    alive = tmp_path / f"cache/tmp/a.image.{host}.{os.getpid()}.01234567.tmp"
    elsewhere = tmp_path / "cache/tmp/a.image.elsewhere-x.1.01234567.tmp"
    for path in (dead, torn, alive, elsewhere):
        path.write_bytes(b"")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert not dead.exists()
    assert not torn.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_header_texts_do_not_leak_into_the_cache(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    task.add("a")
    rewrite(task.image("a"), lambda data: data.__setitem__(slice(148, 160), b"John Patient"))
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    assert all(b"Patient" not in data for data in folder_bytes(tmp_path / "cache").values())


def test_the_journal_holds_one_signed_line_per_case(task: Any, tmp_path: Path) -> None:
    task.add("b")
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    lines = (tmp_path / "cache/journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == ["a", "b"]
