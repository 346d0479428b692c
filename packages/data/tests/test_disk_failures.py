"""Disks that are full, broken or read-only: one line with the cure, and nothing half-written."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import DiskFailure, build_cache, check_cache, open_cache
from tomolift.data._cli import main

Bytes = Callable[[Path], dict[str, bytes]]
CURES = {
    errno.ENOSPC: "free space there and run the same command again: it goes on from there",
    errno.EDQUOT: "free space within your quota and run the same command again",
    errno.EIO: "look at the disk or network that holds it, then run the same command again",
    errno.EROFS: "it is mounted read-only: name a folder that can be written",
    errno.EACCES: "get the right to write there, or name another folder",
}


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Path:
    """A cache of one case, beside a task that has a second one by now."""
    task.add("a", seed=0)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    task.add("b", seed=1)
    return tmp_path / "cache"


def failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int, *, after: int = 0) -> None:
    """Let the (``after`` + 1)-th and all later calls of ``os.<call>`` fail."""
    sound, calls = getattr(os, call), 0

    def fail(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(number, os.strerror(number))
        return sound(*arguments, **options)

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize("number", CURES, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "write", "fsync", "replace"])
def test_a_failing_disk_is_one_line_with_its_cure_and_the_old_cache_stays(
    task: Any,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
) -> None:
    build = ["build", str(task.folder), str(cache), "--depth", "5", "--workers", "1"]
    with monkeypatch.context() as patch:
        failing(patch, call, number)
        assert main(build) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(
        f"tomolift data: error: {cache}: cannot go on writing: {os.strerror(number)}"
    )
    assert CURES[number] in line
    assert open_cache(cache).cases == ("a",)
    assert check_cache(cache) == ()
    assert main(build) == 0
    assert open_cache(cache).cases == ("a", "b")
    assert not list(cache.rglob("*.tmp"))


def test_a_full_disk_before_the_first_volume_is_replaced_leaves_the_old_cache_open(
    task: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, folder_bytes: Bytes
) -> None:
    before = folder_bytes(cache)
    failing(monkeypatch, "posix_fallocate", errno.ENOSPC)
    with pytest.raises(DiskFailure, match="free space there") as caught:
        build_cache(task.folder, cache, depth=4, workers=1)
    assert caught.value.errno == errno.ENOSPC
    assert folder_bytes(cache) == before
    assert open_cache(cache).depth == 5


def test_the_file_that_failed_is_named_within_the_cache(
    task: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(cache / "tmp")
    (cache / "tmp").write_text("in the way")
    with pytest.raises(DiskFailure, match=r"cache: cannot go on writing: File exists \(tmp\);"):
        build_cache(task.folder, cache, depth=5, workers=1)


def test_a_failure_in_a_worker_is_told_like_one_in_the_build(task: Any, cache: Path) -> None:
    task.add("c", seed=2)
    program = """
import os, resource, signal, sys
from tomolift.data import DiskFailure, build_cache
if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then too large a file is an error: EFBIG
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # less than a header; workers inherit
    try:
        build_cache(sys.argv[1], sys.argv[2], depth=5, workers=2)
    except DiskFailure as failure:
        print(failure)
"""
    script = cache.parent / "script.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(task.folder), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{cache}: cannot go on writing: File too large; ")
    assert open_cache(cache).cases == ("a",)


def test_a_disk_failure_travels_between_processes_whole() -> None:
    failure = DiskFailure(errno.ENOSPC, "cache: cannot go on writing; free space there")
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), str(again), again.errno) == (DiskFailure, str(failure), errno.ENOSPC)


READ = """
import os, sys
def refuse(event, arguments):
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
        raise OSError(30, "Read-only file system", arguments[0])
    if event.startswith(("os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate")):
        raise OSError(30, "Read-only file system", arguments[0])
import torch
from tomolift.data import build_cache, check_cache, open_cache
from tomolift.data._cli import main
if "--refuse" in sys.argv:
    sys.addaudithook(refuse)
cache = open_cache(sys.argv[1], task_dir=sys.argv[2])
assert cache.volume("a").shape == cache.labels("a").shape == (5, 6, 7)
assert sum(len(images) for images, _ in cache.slices(batch=2)) == 5
assert sum(len(images) for images, _ in cache.volumes(batch=1)) == 1
assert check_cache(sys.argv[1]) == ()
assert main(["info", sys.argv[1]]) == main(["check", sys.argv[1]]) == 0
assert main(["gc", sys.argv[1]]) == 2
assert main(["build", sys.argv[2], sys.argv[1], "--depth", "5", "--workers", "1"]) == 2
"""


def run_reader(arguments: list[str], *, through: tuple[str, ...] = ()) -> None:
    done = subprocess.run(
        [*through, sys.executable, "-c", READ, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"tomolift data: error: {arguments[0]}: cannot go on writing: Read-")
        assert "it is mounted read-only: name a folder that can be written" in line


@pytest.fixture
def finished(task: Any, tmp_path: Path) -> Path:
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    return tmp_path / "cache"


def test_reading_asks_for_no_write_access_and_a_build_says_why_it_cannot(
    task: Any, finished: Path
) -> None:
    """By an audit hook that refuses: root, as whom tests may run, ignores the modes of files."""
    run_reader([str(finished), str(task.folder), "--refuse"])


def test_a_cache_on_a_read_only_mount_can_be_read(task: Any, finished: Path) -> None:
    mount = 'mount --bind -o ro "$0" "$0" && exec "$@"'
    through = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(finished))
    if subprocess.run([*through, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let a user make mounts of his own")
    run_reader([str(finished), str(task.folder)], through=through)
