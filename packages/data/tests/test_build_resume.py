from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, check_cache, open_cache
from tomolift.data._files import VolumeFile, append_durably, this_machine

Bytes = Callable[[Path], dict[str, bytes]]


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


@pytest.mark.parametrize("name", ["CACHE.json", "journal.jsonl"])
def test_a_file_forged_to_be_a_huge_hole_is_damaged_and_built_anew(
    task: Any, tmp_path: Path, folder_bytes: Bytes, name: str
) -> None:
    task.add("a")
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1)
    whole = folder_bytes(cache)
    os.truncate(cache / name, 2**40)
    if name == "CACHE.json":
        with pytest.raises(BadInput, match=r"is larger than 268435456 bytes"):
            check_cache(cache)
    else:
        assert "line 1 is damaged" in check_cache(cache)[0].message
    build_cache(task.folder, cache, depth=5, workers=1)
    assert folder_bytes(cache) == whole


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
    assert check_cache(sys.argv[2]) == (), steps  # the old cache or the new one, never none
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


def test_temporary_files_of_dead_processes_are_swept_and_of_live_ones_kept(
    task: Any, tmp_path: Path
) -> None:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    host = this_machine()
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


def test_what_a_worker_that_outlived_its_build_leaves_is_swept_by_the_next(
    task: Any, tmp_path: Path
) -> None:
    task.add("a")
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    host = this_machine()
    left = tmp_path / f"cache/tmp/a.image.{host}.{child}.01234567.tmp"
    left.parent.mkdir(parents=True)
    left.touch()

    def end(*_: Any) -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1, progress=end)
    assert not left.exists()
