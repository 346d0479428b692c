from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, build_cache
from tomolift.data._files import locked

Bytes = Callable[[Path], dict[str, bytes]]


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


def test_no_more_volumes_are_begun_than_there_are_workers_until_one_is_in_the_journal(
    task: Any, tmp_path: Path
) -> None:
    for index in range(8):
        task.add(f"c{index}", seed=index)
    records: list[int] = []

    def slow_to_note(done: int, total: int, case: str, status: str) -> None:
        time.sleep(0.5 if done == 1 else 0)  # a disk on which the journal takes long
        records.append(len(list((tmp_path / "cache/volumes").glob("*.json"))))

    build_cache(task.folder, tmp_path / "cache", depth=5, workers=2, progress=slow_to_note)
    assert len(records) == 8
    assert records[0] <= 2
