"""``tomolift data fetch`` on the command line; what it fetches is test_fetch.py's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import _fetch_command
from tomolift.data._cli import main
from tomolift.data._digests import Digests
from tomolift.data._fetch import FetchReport
from tomolift.data._msd_tasks import MSD_ARCHIVES


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Fetch nothing, and keep what was asked for; progress is what a fetch tells."""
    calls: list[Any] = []

    def fetch_task(name: str, out_dir: Path, **options: Any) -> FetchReport:
        calls.append((name, out_dir, options))
        if options["progress"]:
            options["progress"]("downloading", 5 * 10**6, 10**7)
            options["progress"]("downloading", 6 * 10**6, 10**7)  # too soon to be told
            options["progress"]("downloading", 10**7, 10**7)
            options["progress"]("checking", 10**7, 10**7)
        archive = out_dir / "a.tar" if options["keep_archive"] else None
        digests = Digests("a" * 32, "b" * 64)
        return FetchReport(folder=out_dir / name, cases=3, digests=digests, archive=archive)

    monkeypatch.setattr(_fetch_command, "fetch_task", fetch_task)
    return calls


def test_list_prints_the_ten_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    for line, (name, published) in zip(lines, MSD_ARCHIVES.items(), strict=True):
        assert line.split() == [name, "md5", published.md5, published.url]


def test_the_options_arrive_and_the_sha256_is_printed(
    fetched: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--url", "https://a/b.zip", "--sha256", "c" * 64, "--keep-archive"]
    assert main(["fetch", "Heart", str(tmp_path), *options]) == 0
    ((name, out_dir, given),) = fetched
    assert (name, out_dir) == ("Heart", tmp_path)
    assert given == {
        "url": "https://a/b.zip", "sha256": "c" * 64, "keep_archive": True, "progress": None,
    }  # fmt: skip
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{tmp_path}/Heart: 3 cases", f"archive's sha256 {'b' * 64}", f"kept {tmp_path}/a.tar",
    ]  # fmt: skip
    assert captured.err == ""


def test_a_task_that_is_there_is_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = FetchReport(folder=tmp_path / "Heart", cases=3)
    monkeypatch.setattr(_fetch_command, "fetch_task", lambda *arguments, **options: there)
    assert main(["fetch", "Heart", str(tmp_path)]) == 0
    line = f"{tmp_path}/Heart is there: 3 cases, every listed file exists\n"
    assert capsys.readouterr().out == line


def test_desktop_leftovers_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = FetchReport(
        folder=tmp_path, cases=3, digests=Digests("a" * 32, "b" * 64), left_out=521
    )
    monkeypatch.setattr(_fetch_command, "fetch_task", lambda *arguments, **options: report)
    assert main(["fetch", "Heart", str(tmp_path)]) == 0
    assert "521 desktop leftovers (._*, .DS_Store) not unpacked" in capsys.readouterr().out


def test_a_terminal_is_told_how_far_it_is(
    fetched: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["fetch", "Heart", str(tmp_path)]) == 0
    downloading, checking, end = capsys.readouterr().err.split("\n")
    assert downloading.startswith("\rdownloading 5.0 of 10.0 MB\x1b[K\rdownloading 10.0 of 10.0 MB")
    assert "MB/s, 0:00 left\x1b[K" in downloading
    assert checking == "\rchecking 10.0 of 10.0 MB\x1b[K"
    assert end == ""


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["fetch", "Task99_Moon", "OUT"], "expected one of Task01_BrainTumour, Task02_Heart"),
        (["fetch", "Moon", "OUT", "--url", "https://a/b.tar"], "give the archive's SHA-256"),
        (["fetch", "Moon", "OUT", "--url", "http://a/b", "--sha256", "a" * 64], "https://..."),
        (["fetch", "Task02_Heart"], "OUT_DIR"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(
    command: list[str],
    part: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err
    assert not (tmp_path / "OUT" / "Moon.tar.part").exists()
