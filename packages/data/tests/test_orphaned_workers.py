from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_end_with_a_build_that_is_killed_alone(task: Any, tmp_path: Path) -> None:
    for index in range(12):
        task.add(f"c{index}", seed=index, shape=(32, 32, 20))
    program = tmp_path / "build.py"
    program.write_text(
        "import sys, time; from tomolift.data import build_cache\n"
        "if __name__ == '__main__':\n"
        "    build_cache(sys.argv[1], sys.argv[2], depth=20, workers=2,\n"
        "                progress=lambda *_: time.sleep(60))\n"
    )
    command = [sys.executable, str(program), str(task.folder), str(tmp_path / "cache")]
    build = subprocess.Popen(command, start_new_session=True)
    journal = tmp_path / "cache/journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    build.kill()
    build.wait()
    while is_alive(build.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    survived = is_alive(build.pid)
    if survived:
        os.killpg(build.pid, signal.SIGKILL)
    assert not survived
