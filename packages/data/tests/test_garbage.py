from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, DiskFailure, build_cache, check_cache, collect_garbage
from tomolift.data._cli import main
from tomolift.data._files import this_machine

Bytes = Callable[[Path], dict[str, bytes]]
DEAD = 4194304  # above Linux's largest process number
KEY = "0123456789abcdef"  # of no case


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Path:
    for index, name in enumerate("abc"):
        task.add(name, seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    return tmp_path / "cache"


def temporary(
    folder: Path, name: str, process: int, *, host: str | None = None, days: float = 0
) -> Path:
    path = folder / f"{name}.{host or this_machine()}.{process}.01234567.tmp"
    path.write_bytes(b"12345")
    stamp = time.time() - days * 86400
    os.utime(path, (stamp, stamp))
    return path


def names(report: Any, cache: Path) -> list[str]:
    return sorted(str(each.path.relative_to(cache)) for each in report)


def test_a_sound_cache_has_no_garbage(cache: Path, folder_bytes: Bytes) -> None:
    before = folder_bytes(cache)
    report = collect_garbage(cache)
    assert (report.removed, report.kept, report.bytes) == ((), (), 0)
    assert folder_bytes(cache) == before


def test_temporary_files_go_where_their_process_is_no_more(cache: Path) -> None:
    gone = [
        temporary(cache, "CACHE.json", DEAD),
        temporary(cache / "tmp", "a.image", DEAD),
        temporary(cache / "volumes", "a.json", DEAD),
        temporary(cache / "tmp", "b.image", 1, host="elsewhere", days=1.1),
    ]
    stay = [
        temporary(cache / "tmp", "a.label", os.getpid()),
        temporary(cache / "tmp", "c.image", 1, host="elsewhere", days=0.9),
    ]
    report = collect_garbage(cache)
    assert names(report.removed, cache) == sorted(str(path.relative_to(cache)) for path in gone)
    assert names(report.kept, cache) == sorted(str(path.relative_to(cache)) for path in stay)
    assert report.bytes == 20
    assert [path.exists() for path in gone + stay] == [False] * 4 + [True] * 2
    reasons = " ".join(each.reason for each in (*report.removed, *report.kept))
    assert "machine elsewhere, untouched for 1 days" in reasons
    assert f"process {os.getpid()}, which may live" in reasons


def test_a_dry_run_tells_the_same_and_removes_nothing(cache: Path, folder_bytes: Bytes) -> None:
    temporary(cache / "tmp", "a.image", DEAD)
    (cache / f"volumes/nobody.{KEY}.image.npy").write_bytes(b"123")
    (cache / "journal.jsonl").write_bytes((cache / "journal.jsonl").read_bytes() + b"torn")
    before = folder_bytes(cache)
    told = collect_garbage(cache, dry_run=True)
    assert folder_bytes(cache) == before
    assert collect_garbage(cache) == told
    assert told.bytes == 5 + 3 + 4
    assert collect_garbage(cache).removed == ()


def test_volumes_and_records_that_nothing_names_go(cache: Path) -> None:
    for ending in ("image.npy", "label.npy", "json"):
        (cache / f"volumes/old.{KEY}.{ending}").write_bytes(b"123")
        (cache / f"volumes/a.{KEY}.{ending}").write_bytes(b"123")  # of another configuration
    report = collect_garbage(cache)
    assert names(report.removed, cache) == [
        f"volumes/{case}.{KEY}.{ending}"
        for case in ("a", "old")
        for ending in ("image.npy", "json", "label.npy")
    ]
    assert check_cache(cache) == ()


def test_what_is_not_recognised_is_never_touched(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    strangers = [
        "thesis.tex", "volumes/notes.txt", "volumes/a.image.npy", f"volumes/-a.{KEY}.image.npy",
        "tmp/mine.tmp",
    ]  # fmt: skip
    for name in strangers:
        (cache / name).write_text("precious")
    (cache / f"volumes/link.{KEY}.json").symlink_to(tmp_path / "precious")
    (cache / f"volumes/folder.{KEY}.json").mkdir()
    assert collect_garbage(cache).removed == ()
    assert all((cache / name).exists() for name in strangers)
    assert (cache / f"volumes/link.{KEY}.json").is_symlink()


def test_what_an_interrupted_build_has_finished_stays(task: Any, cache: Path) -> None:
    (cache / "CACHE.json").unlink()
    half = [f"volumes/half.{KEY}.{ending}" for ending in ("image.npy", "label.npy")]
    for name in half:  # of a case that was being published
        (cache / name).write_bytes(b"123")
    report = collect_garbage(cache)
    assert names(report.removed, cache) == half
    assert build_cache(task.folder, cache, depth=5, workers=1).reused == ("a", "b", "c")


def test_journal_entries_without_files_go_and_so_do_the_rest_of_the_files(
    task: Any, cache: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    (cache / "CACHE.json").unlink()
    next(cache.glob("volumes/b.*.json")).unlink()
    left = sorted(str(path.relative_to(cache)) for path in cache.glob("volumes/b.*"))
    report = collect_garbage(cache)
    assert names(report.removed, cache) == ["journal.jsonl", *left]
    assert len(left) == 2
    lines = (cache / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == ["a", "c"]
    build_cache(task.folder, cache, depth=5, workers=1)
    build_cache(task.folder, tmp_path / "fresh", depth=5, workers=1)
    assert folder_bytes(cache) == folder_bytes(tmp_path / "fresh")


def test_damage_of_a_finished_cache_is_left_for_check_to_find(
    cache: Path, folder_bytes: Bytes
) -> None:
    next(cache.glob("volumes/b.*.json")).unlink()
    before = folder_bytes(cache)
    assert collect_garbage(cache).removed == ()
    assert folder_bytes(cache) == before


def test_volumes_of_shares_stay_until_a_build_takes_them_over(
    task: Any, cache: Path, folder_bytes: Bytes
) -> None:
    task.add("d", seed=3)
    build_cache(task.folder, cache, depth=5, workers=1, share=(4, 4))
    report = collect_garbage(cache)
    assert names(report.removed, cache) == ["lock.4-of-4"]
    journal = (cache / "journal.4-of-4.jsonl").read_bytes()
    assert build_cache(task.folder, cache, depth=5, workers=1).built == ()
    whole = folder_bytes(cache)
    (cache / "journal.4-of-4.jsonl").write_bytes(journal)  # of a share that came to its end late
    assert names(collect_garbage(cache).removed, cache) == ["journal.4-of-4.jsonl"]
    assert folder_bytes(cache) == whole


def test_nothing_is_removed_while_a_build_is_at_work(cache: Path) -> None:
    left = temporary(cache / "tmp", "a.image", DEAD)
    for operation in ("LOCK_EX", "LOCK_SH"):  # a build, a share
        program = (
            "import fcntl, sys; file = open(sys.argv[1]);"
            f"fcntl.flock(file, fcntl.{operation}); print(flush=True); input()"
        )
        command = [sys.executable, "-c", program, str(cache / "lock")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as build:
            assert build.stdout is not None
            build.stdout.readline()
            with pytest.raises(BadInput, match=r"a build is at work in it; wait.*\[E_BUSY\]$"):
                collect_garbage(cache)
            build.communicate(b"\n")
    assert left.exists()
    assert names(collect_garbage(cache).removed, cache) == ["tmp/" + left.name]


def test_without_locks_nothing_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise OSError(37, "No locks available")

    left = temporary(cache / "tmp", "a.image", DEAD)
    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(DiskFailure, match=r"No locks available; use a file system with locks"):
        collect_garbage(cache)
    assert left.exists()


def test_a_damaged_manifest_tells_nothing_so_nothing_is_removed(cache: Path) -> None:
    left = temporary(cache / "tmp", "a.image", DEAD)
    (cache / "CACHE.json").write_text("{}")
    with pytest.raises(BadInput, match=r"is damaged .*E_CACHE"):
        collect_garbage(cache)
    assert left.exists()


@pytest.mark.parametrize("name", ["nowhere", "folder"])
def test_a_folder_that_is_no_cache_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=r"is no cache; name a folder that `build` made"):
        collect_garbage(tmp_path / name)
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_gc_on_the_command_line_prints_each_file_and_the_sum(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", str(cache)]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    left = temporary(cache / "tmp", "a.image", DEAD)
    stays = temporary(cache / "tmp", "b.image", os.getpid())
    assert main(["gc", str(cache), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"would remove tmp/{left.name}: 5 bytes, temporary file of a dead process",
        f"kept         tmp/{stays.name}: 5 bytes, temporary file of process {os.getpid()}, "
        "which may live",
        "1 file to remove, 5 bytes",
    ]
    assert main(["gc", str(cache)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 file removed, 5 bytes"
    assert not left.exists()
