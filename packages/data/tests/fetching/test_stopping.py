"""A fetch that is killed, or whose disk is full, or that is not alone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import _fetch, _fetch_archive
from tomolift.data._disk import DiskFailure
from tomolift.data._files import PartFile, temporary_path

Bytes = Callable[[Path], dict[str, bytes]]


def test_room_for_archive_and_contents_is_asked_for_before_loading(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        f_bavail, f_frsize = 2 * len(server.data) - 1, 1

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: Disk)
        assert f"{2 * len(server.data)} are needed" in server.refusal(tmp_path, "E_SPACE")
    assert (tmp_path / "Tiny.tar.part").stat().st_size == 0


def test_a_disk_that_fills_up_is_one_line_and_the_next_fetch_goes_on(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = PartFile.append

    def full(part: PartFile, data: bytes) -> None:
        if part.size > 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(part, data)

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "append", full)
        with pytest.raises(DiskFailure, match="No space left on device") as raised:
            server.fetch(tmp_path)
    assert "\n" not in str(raised.value)
    server.fetch(tmp_path)
    assert int(str(server.log[1]["range"])[6:-1]) > 500_000


def test_a_disk_that_fills_up_while_unpacking_leaves_the_checked_archive(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DiskFailure):
            server.fetch(tmp_path)
    assert "Tiny.tar" in server.listing(tmp_path)
    assert not (tmp_path / "Tiny").exists()
    server.fetch(tmp_path)
    assert server.listing(tmp_path) == ["Tiny"]
    assert len(server.log) == 1


def test_two_fetches_do_not_write_one_file(server: Any, tmp_path: Path) -> None:
    with PartFile(tmp_path / "Tiny.tar.part"):
        line = server.refusal(tmp_path, "E_DOWNLOAD")
    assert "is being written by another process; wait for it" in line
    assert server.log == []


def test_a_fetch_that_comes_second_uses_what_the_first_has_finished(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path) -> PartFile:
        (tmp_path / "Tiny.tar").write_bytes(server.data)
        return PartFile(path)

    monkeypatch.setattr(_fetch_archive, "PartFile", late)
    server.fetch(tmp_path)
    assert server.listing(tmp_path) == ["Tiny", "Tiny.tar"]
    assert server.log == []


def test_a_part_that_was_renamed_meanwhile_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def renamed_meanwhile(descriptor: int, operation: int) -> None:
        (tmp_path / "a.part").rename(tmp_path / "a")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    with pytest.raises(BlockingIOError):
        PartFile(tmp_path / "a.part")


def test_a_disk_without_locks_is_no_reason_not_to_fetch(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlockable(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    assert server.fetch(tmp_path).cases == 1


@pytest.mark.parametrize("stall", [0, 1_200_000])
def test_a_killed_fetch_goes_on_and_leaves_nothing_behind(
    stall: int, server: Any, tiny: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    server.stalls = [stall]
    command = [sys.executable, "-m", "tomolift.data", "fetch", "Tiny", str(tmp_path / "data")]
    with subprocess.Popen([*command, "--url", server.url, "--sha256", server.sha256]) as process:
        part = tmp_path / "data" / "Tiny.tar.part"
        deadline = time.monotonic() + 60
        while not server.log or not part.exists() or part.stat().st_size < stall - 2**18:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = part.stat().st_size
    assert server.listing(tmp_path / "data") in (
        ["Tiny.tar.part"], ["Tiny.tar.part", "Tiny.tar.part.json"],
    )  # fmt: skip
    server.fetch(tmp_path / "data")
    assert server.log[1]["range"] == (f"bytes={kept}-" if kept else None)
    assert folder_bytes(tmp_path / "data" / "Tiny") == folder_bytes(tiny)
    assert server.listing(tmp_path / "data") == ["Tiny"]


def test_what_a_killed_unpacking_left_is_removed(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    monkeypatch.setattr(os, "getpid", lambda: dead.pid)
    left = temporary_path(tmp_path, "Tiny")
    monkeypatch.undo()
    other = temporary_path(tmp_path, "Tiny")  # of this process, which lives
    for folder in (left, other):
        (folder / "imagesTr").mkdir(parents=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    server.fetch(tmp_path)
    assert server.listing(tmp_path) == sorted(["Tiny", "Tiny.tar", other.name])


@pytest.mark.parametrize("keep", [False, True])
def test_a_fetch_stopped_at_its_very_end_is_tidied_up_by_the_next(
    keep: bool, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_fetch, "tidy", stopped)
        with pytest.raises(KeyboardInterrupt):
            server.fetch(tmp_path)
    assert server.listing(tmp_path) == ["Tiny", "Tiny.tar", "Tiny.tar.part.json"]
    server.fetch(tmp_path, keep_archive=keep)
    assert server.listing(tmp_path) == (["Tiny", "Tiny.tar"] if keep else ["Tiny"])
    server.fetch(tmp_path)  # and what was kept stays
    assert server.listing(tmp_path) == (["Tiny", "Tiny.tar"] if keep else ["Tiny"])


def test_an_archive_put_beside_an_unfinished_part_stays(server: Any, tmp_path: Path) -> None:
    server.break_off(tmp_path)
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    server.fetch(tmp_path)
    assert server.listing(tmp_path) == ["Tiny", "Tiny.tar"]
    assert server.log == []


def test_a_part_that_another_process_loads_is_not_tidied_up(server: Any, tmp_path: Path) -> None:
    server.fetch(tmp_path)
    with PartFile(tmp_path / "Tiny.tar.part"):
        server.fetch(tmp_path)
        assert server.listing(tmp_path) == ["Tiny", "Tiny.tar.part"]
    server.fetch(tmp_path)
    assert server.listing(tmp_path) == ["Tiny"]
