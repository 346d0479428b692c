from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import build_cache, open_cache
from tomolift.data._cli import main


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("tomolift data: error: ")
    return captured.err


def test_verify_tells_defects_by_case_and_exits_1(
    task: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    task.add("a")
    assert main(["verify", str(task.folder)]) == 0
    assert capsys.readouterr().out == "no defects\n"
    task.add("b")
    task.image("b").write_bytes(task.image("b").read_bytes()[:-30])
    assert main(["verify", str(task.folder)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("b: ")
    assert "E_GZIP_TRUNCATED" in out
    assert main(["verify", str(task.folder), "--json"]) == 1
    (defect,) = json.loads(capsys.readouterr().out)
    assert (defect["case"], defect["code"]) == ("b", "E_GZIP_TRUNCATED")


def test_build_info_and_check_follow_each_other(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.add("a", shape=(4, 3, 6))
    task.add("short", shape=(4, 3, 2))
    cache = str(tmp_path / "cache")
    build = ["build", str(task.folder), cache, "--depth", "6", "--workers", "1"]
    assert main(build) == 0
    assert "1 built, 0 reused, 1 dropped, 0 failed" in capsys.readouterr().out
    assert main(build) == 0
    assert "0 built, 1 reused" in capsys.readouterr().out
    assert main(["info", cache]) == 0
    out = capsys.readouterr().out
    assert "a: 6 x 3 x 4 <i2: background " in out
    assert "dropped short: 2 slices" in out
    assert f"fingerprint {open_cache(cache).fingerprint}" in out
    assert main(["check", cache]) == 0
    next(tmp_path.glob("cache/volumes/a.*.json")).write_text("{}")
    capsys.readouterr()
    assert main(["check", cache]) == 1


def test_build_exits_2_with_a_line_a_quarantined_volume(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.add("a")
    task.add("b")
    task.label("b").unlink()
    command = ["build", str(task.folder), str(tmp_path / "cache"), "--depth", "5"]
    assert main([*command, "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert "failed   b" in captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith("tomolift data: error: ")
    assert "[E_MISSING]" in line
    assert main([*command, "--workers", "1", "--cases", "a"]) == 0


@pytest.mark.parametrize(
    "command",
    [["verify", "/nowhere"], ["build", "/nowhere", "/nowhere/cache"], ["info", "/nowhere"],
     ["check", "/nowhere"], ["build", "--depth", "many", "a", "b"], ["fly"], []],
    ids=str,
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    error_line(capsys)


def test_a_missing_dataset_json_names_the_file_and_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(tmp_path), str(tmp_path / "cache")]) == 2
    line = error_line(capsys)
    assert f"{tmp_path}/dataset.json: is not there; name a folder in MSD layout" in line
    assert list(tmp_path.iterdir()) == []


def test_phantom_writes_a_task_that_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantom", str(tmp_path / "task"), "--cases", "1"]) == 0
    assert main(["verify", str(tmp_path / "task")]) == 0
    assert main(["phantom", str(tmp_path / "task"), "--cases", "1"]) == 2
    assert "E_ARGUMENT" in capsys.readouterr().err


def test_the_module_runs_with_two_workers(task: Any, tmp_path: Path) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    command = [sys.executable, "-m", "tomolift.data", "build", str(task.folder)]
    done = subprocess.run(
        [*command, str(tmp_path / "cache"), "--depth", "5"], check=True, capture_output=True
    )
    assert b"2 built" in done.stdout
    assert done.stderr == b""


def test_an_interrupt_is_one_line_and_exit_130(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task.add("a")

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tomolift.data._build._carry_out", interrupted)
        assert main(["build", str(task.folder), str(tmp_path / "cache")]) == 130
    told = "tomolift data: interrupted; the same command goes on from here\n"
    assert capsys.readouterr().err == told
    build = ["build", str(task.folder), str(tmp_path / "cache"), "--depth", "5", "--workers", "1"]
    assert main(build) == 0


def deaf_children(parent: int) -> int:
    """Count the processes that a process started and that ignore interrupts."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            status = dict(line.split(":\t", 1) for line in path.read_text().splitlines())
            ignores = int(status["SigIgn"], 16) >> (signal.SIGINT - 1) & 1
            count += int(status["PPid"]) == parent and ignores
    return count


def test_an_interrupt_of_a_build_with_workers_is_one_line(task: Any, tmp_path: Path) -> None:
    task.add("c", shape=(256, 256, 120))  # all 201 take many times what two workers need to start
    for index in range(200):
        task.image(f"c{index}").hardlink_to(task.image("c"))
        task.label(f"c{index}").hardlink_to(task.label("c"))
        task.list(f"c{index}")
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "tomolift.data", "build", str(task.folder), str(cache)]
    with subprocess.Popen(
        [*command, "--depth", "120"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as build:
        deadline = time.monotonic() + 60
        while deaf_children(build.pid) < 3:  # two workers, and what multiprocessing starts itself
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(build.pid, signal.SIGINT)  # as a terminal does
        told = build.communicate(timeout=60)[1]
    assert told == "tomolift data: interrupted; the same command goes on from here\n"
    assert build.returncode == 130


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("verify", "build", "info", "check", "phantom"))


def test_a_reader_that_leaves_is_no_error_of_the_cache(task: Any, tmp_path: Path) -> None:
    for index in range(3):
        task.add(f"c{index}", seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tomolift.data", "info", str(tmp_path / "cache")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
