from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, build_cache, open_cache
from tomolift.data._cli import main
from tomolift.data._files import locked

Bytes = Callable[[Path], dict[str, bytes]]
Damage = Callable[[Any, str, str], None]
PROGRAM = (
    "import sys; from tomolift.data import build_cache; print(flush=True);"
    "build_cache(sys.argv[1], sys.argv[2], depth=5, workers=1,"
    " share=(int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 3 else None)"
)


@pytest.fixture
def big_task(task: Any, damage: Damage) -> Any:
    """Seven cases: five sound, one too short, one damaged."""
    for index in range(5):
        task.add(f"c{index}", seed=index)
    task.add("short", shape=(7, 6, 4))
    task.add("bad")
    damage(task, "E_GZIP", "bad")
    return task


def started(task: Any, cache: Path, *share: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(task.folder), str(cache), *map(str, share)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_shares_in_any_order_and_a_build_end_in_the_bytes_of_a_single_build(
    big_task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    single = build_cache(big_task.folder, tmp_path / "single", depth=5, workers=1)
    for order in permutations((1, 2, 3)):
        cache = tmp_path / "".join(map(str, order))
        for index in order:
            build_cache(big_task.folder, cache, depth=5, workers=1, share=(index, 3))
        last = build_cache(big_task.folder, cache, depth=5, workers=1)
        assert (last.built, last.reused) == ((), single.built)
        assert folder_bytes(cache) == folder_bytes(tmp_path / "single")


def test_every_case_belongs_to_exactly_one_share(big_task: Any, tmp_path: Path) -> None:
    reports = [
        build_cache(big_task.folder, tmp_path / "cache", depth=5, workers=1, share=(index, 10))
        for index in range(1, 11)
    ]
    told = [case for each in reports for case in (*each.built, *each.dropped, *each.failed)]
    assert told == ["c0", "c1", "c2", "c3", "c4", "short", "bad"]
    assert {each.fingerprint for each in reports} == {None}


def test_shares_at_once_of_which_one_is_killed_end_in_the_bytes_of_a_single_build(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(9):
        task.add(f"c{index}", seed=index, shape=(64, 64, 40))
    build_cache(task.folder, tmp_path / "single", depth=5, workers=1)
    cache = tmp_path / "cache"
    shares = [started(task, cache, index, 3) for index in (1, 2, 3)]
    for share in shares:
        assert share.stdout is not None
        share.stdout.readline()  # imports are done
    deadline = time.monotonic() + 30
    while not (cache / "journal.2-of-3.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    shares[1].send_signal(signal.SIGKILL)
    with started(task, cache) as last:  # waits for the shares that live
        assert [share.wait(timeout=60) for share in shares] == [0, -signal.SIGKILL, 0]
        assert last.wait(timeout=60) == 0
    assert folder_bytes(cache) == folder_bytes(tmp_path / "single")
    for share in shares:
        share.communicate()


def test_equal_shares_started_twice_work_one_after_the_other(task: Any, tmp_path: Path) -> None:
    for index in range(4):
        task.add(f"c{index}", seed=index)
    cache = tmp_path / "cache"
    twice = [started(task, cache, 1, 2) for _ in range(2)]
    assert [share.wait(timeout=60) for share in twice] == [0, 0]
    lines = (cache / "journal.1-of-2.jsonl").read_bytes().splitlines()
    assert len(lines) == 2  # the second found both cases done
    for share in twice:
        share.communicate()


def test_a_share_goes_on_where_it_was_killed_and_trusts_other_shares(
    task: Any, tmp_path: Path
) -> None:
    for index in range(4):
        task.add(f"c{index}", seed=index)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1, share=(1, 2))
    journal = cache / "journal.1-of-2.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])  # as a kill in the middle of a line leaves it
    again = build_cache(task.folder, cache, depth=5, workers=1, share=(1, 2))
    assert (again.built, again.reused) == (("c2",), ("c0",))
    other = build_cache(task.folder, cache, depth=5, workers=1, share=(1, 1))
    assert (other.built, other.reused) == (("c1", "c3"), ("c0", "c2"))


def test_shares_of_another_count_are_used_and_leave_nothing(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    for index in range(5):
        task.add(f"c{index}", seed=index)
    build_cache(task.folder, tmp_path / "single", depth=5, workers=1)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1, share=(2, 2))
    build_cache(task.folder, cache, depth=5, workers=1, share=(3, 4))
    assert build_cache(task.folder, cache, depth=5, workers=1).built == ("c0", "c4")
    assert folder_bytes(cache) == folder_bytes(tmp_path / "single")


def test_a_share_of_another_configuration_is_built_again(
    task: Any, tmp_path: Path, folder_bytes: Bytes
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=4, workers=1, share=(1, 2))
    report = build_cache(task.folder, cache, depth=5, workers=1)
    assert (report.built, report.changed) == (("a", "b"), {"a": "depth 4 -> 5"})
    build_cache(task.folder, tmp_path / "single", depth=5, workers=1)
    assert folder_bytes(cache) == folder_bytes(tmp_path / "single")


def test_new_cases_by_shares_leave_the_old_cache_open_until_the_last_build(
    task: Any, tmp_path: Path
) -> None:
    task.add("a", seed=0)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1)
    task.add("b", seed=1)
    build_cache(task.folder, cache, depth=5, workers=1, share=(2, 2))
    assert open_cache(cache).cases == ("a",)
    build_cache(task.folder, cache, depth=5, workers=1)
    assert open_cache(cache).cases == ("a", "b")


def test_shares_of_another_configuration_leave_the_old_cache_open_until_the_last_build(
    task: Any, tmp_path: Path
) -> None:
    task.add("a", seed=0)
    task.add("b", seed=1)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=4, workers=1)
    for index in (1, 2):
        build_cache(task.folder, cache, depth=5, workers=1, share=(index, 2))
        assert open_cache(cache).depth == 4
    assert build_cache(task.folder, cache, depth=5, workers=1).built == ()
    assert open_cache(cache).depth == 5


def test_a_cache_of_which_only_shares_are_there_says_how_to_finish_it(
    task: Any, tmp_path: Path
) -> None:
    for index, name in enumerate("abc"):
        task.add(name, seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1, share=(1, 2))
    with pytest.raises(BadInput, match=r"is unfinished \(volumes so far: 2\): .*--share"):
        open_cache(tmp_path / "cache")


def test_a_mistyped_last_build_leaves_what_shares_have_made(task: Any, tmp_path: Path) -> None:
    for index, name in enumerate("abc"):
        task.add(name, seed=index)
    cache = tmp_path / "cache"
    build_cache(task.folder, cache, depth=5, workers=1, share=(1, 1))
    with pytest.raises(BadInput, match="E_EMPTY"):
        build_cache(task.folder, cache, depth=70, workers=1)
    assert build_cache(task.folder, cache, depth=5, workers=1).reused == ("a", "b", "c")


def test_a_share_waits_for_a_build_of_the_whole_cache(task: Any, tmp_path: Path) -> None:
    task.add("a")
    cache = tmp_path / "cache"
    with locked(cache / "lock"):
        share = started(task, cache, 1, 1)
        assert share.stdout is not None
        share.stdout.readline()
        time.sleep(0.2)
        assert share.poll() is None
        assert [path.name for path in cache.iterdir()] == ["lock"]
    assert share.wait(timeout=60) == 0
    share.communicate()


@pytest.mark.parametrize("share", [(0, 3), (4, 3), (1, 0), (-1, -1)])
def test_an_impossible_share_is_refused(task: Any, tmp_path: Path, share: tuple[int, int]) -> None:
    task.add("a")
    with pytest.raises(BadInput, match=r"share: is .*expected I/N with I in 1\.\.N.*E_ARGUMENT"):
        build_cache(task.folder, tmp_path / "cache", share=share)
    assert not (tmp_path / "cache").exists()


def test_shares_on_the_command_line(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        task.add(f"c{index}", seed=index)
    build = ["build", str(task.folder), str(tmp_path / "cache"), "--depth", "5", "--workers", "1"]
    assert main([*build, "--share", "1/2"]) == 0
    assert "2 built, 0 reused" in (out := capsys.readouterr().out)
    assert "the same command without --share finishes the cache" in out
    assert main(["info", str(tmp_path / "cache")]) == 2
    assert "unfinished" in capsys.readouterr().err
    assert main(build) == 0
    assert "1 built, 2 reused" in capsys.readouterr().out
    assert main([*build, "--share", "one"]) == 2
    assert "argument --share: is 'one', expected I/N such as 1/4" in capsys.readouterr().err
