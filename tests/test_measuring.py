"""The benchmarks' own arithmetic, clocks and memory counts."""

from __future__ import annotations

import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from measuring import cpu_clock, fresh_process, machine, race, resident_memory, result

    return SimpleNamespace(
        cpu_clock=cpu_clock,
        fresh_process=fresh_process,
        machine=machine,
        race=race,
        resident_memory=resident_memory,
        result=result,
    )


class Clock:
    """Stands still but for what is said to take time."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def passes(self, seconds: float) -> Any:
        def call(*_: Any) -> None:
            self.now += seconds

        return call


def agree(results: Mapping[str, Any]) -> None:
    if len(set(results.values())) > 1:
        raise ValueError(f"differ: {sorted(results)}")


def test_only_the_step_is_timed(tool: SimpleNamespace) -> None:
    clock = Clock()
    contender = tool.race.Contender(clock.passes(100.0), clock.passes(2.0))
    times = tool.race.race({"ours": contender}, rounds=4, agreement=agree, clock=clock.read)
    assert times == {"ours": [2.0] * 4}


def test_a_slow_contender_runs_fewer_rounds_and_the_others_all(tool: SimpleNamespace) -> None:
    clock = Clock()
    nothing = clock.passes(0.0)
    contenders = {
        "ours": tool.race.Contender(nothing, clock.passes(1.0)),
        "slow": tool.race.Contender(nothing, clock.passes(9.0), rounds=2),
    }
    times = tool.race.race(contenders, rounds=5, agreement=agree, clock=clock.read)
    assert times == {"ours": [1.0] * 5, "slow": [9.0] * 2}


def test_contenders_are_held_against_those_that_compute_the_same(tool: SimpleNamespace) -> None:
    def gives(value: int, computes: str) -> Any:
        return tool.race.Contender(lambda: value, lambda given: given, computes=computes)

    alike = {"a": gives(1, "one"), "b": gives(1, "one"), "c": gives(2, "two")}
    tool.race.check_contenders(alike, agree)
    with pytest.raises(ValueError, match=r"differ: \['a', 'd'\]"):
        tool.race.race({"a": gives(1, "one"), "d": gives(2, "one")}, rounds=1, agreement=agree)


def test_each_round_runs_every_contender_in_an_order_of_its_own(tool: SimpleNamespace) -> None:
    names = dict.fromkeys("abcd")
    drawn = list(tool.race.orders(names, 50))
    assert all(sorted(order) == ["a", "b", "c", "d"] for order in drawn)
    followed = {(one, other) for order in drawn for one, other in itertools.pairwise(order)}
    assert len(followed) == 12
    assert drawn == list(tool.race.orders(names, 50))


def test_ratios_are_of_medians_and_say_which_way_they_count(tool: SimpleNamespace) -> None:
    times = {"ours": [2.0, 1.0, 9.0], "peer": [30.0, 8.0, 7.0]}
    result = tool.result
    assert result.speed_up(times, "peer") == {"value": 4.0, "unit": "times"}
    assert result.cost(times, "peer") == {"value": 0.25, "unit": "over"}
    assert result.speed_up(times, "ours", of="peer") == {"value": 0.25, "unit": "times"}
    assert result.duration(times) == {"value": 2e6, "unit": "us"}
    assert result.longer_duration(times) == {"value": 2e3, "unit": "ms"}
    assert result.memory(3 * 2**20) == {"value": 3.0, "unit": "MiB"}
    assert result.share(3, 4) == {"value": 0.75, "unit": "over"}
    assert result.summarise(times)["rounds"] == {"ours": 3, "peer": 3}


def test_traffic_is_held_against_the_copys(tool: SimpleNamespace) -> None:
    """Ours moves 300 bytes in 2 s, the copy 288 in 1 s: 150 of 288 bytes a second."""
    found = tool.result.bandwidth({"ours": [2.0], "copy": [1.0]}, moved=300, copied=288)
    assert found["bytes_moved_at_least"] == 300
    assert found["share_of_copy_bandwidth"] == pytest.approx(150 / 288)


def spend(cpu_seconds: float) -> None:
    until = time.process_time() + cpu_seconds
    while time.process_time() < until:
        pass


def work_then_wait(told: Any) -> None:
    """A worker that has worked and lives on."""
    spend(0.2)
    told.send("worked")
    told.recv()


def test_sleep_costs_no_cpu_time_and_work_does(tool: SimpleNamespace) -> None:
    start = tool.cpu_clock.cpu_seconds()
    time.sleep(0.2)
    slept = tool.cpu_clock.cpu_seconds()
    spend(0.1)
    assert slept - start < 0.05
    assert tool.cpu_clock.cpu_seconds() - slept == pytest.approx(0.1, abs=0.05)


def test_cpu_time_of_a_child_counts_once_while_it_lives_and_when_it_has_ended(
    tool: SimpleNamespace,
) -> None:
    start = tool.cpu_clock.cpu_seconds()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=work_then_wait, args=(theirs,))
    child.start()
    assert ours.recv() == "worked"
    while_it_lives = tool.cpu_clock.cpu_seconds() - start
    ours.send("end")
    child.join()
    after_its_end = tool.cpu_clock.cpu_seconds() - start
    assert 0.2 <= while_it_lives < 0.3
    assert while_it_lives <= after_its_end < 0.35


def test_cpu_time_of_a_command_counts(tool: SimpleNamespace) -> None:
    start = tool.cpu_clock.cpu_seconds()
    script = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-S", "-c", script], check=True)
    assert tool.cpu_clock.cpu_seconds() - start >= 0.2


def test_waiting_for_threads_outlasts_their_work_and_not_their_idleness(
    tool: SimpleNamespace,
) -> None:
    start = time.process_time()
    idle = threading.Event()
    threads = [threading.Thread(target=spend, args=(0.3,)), threading.Thread(target=idle.wait)]
    for thread in threads:
        thread.start()
    tool.cpu_clock.wait_for_threads()
    assert time.process_time() - start >= 0.3
    assert not threads[0].is_alive()
    idle.set()
    for thread in threads:
        thread.join()


def test_a_fresh_process_gets_its_own_variables_and_finds_what_is_measured_with(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "told.py").write_text(
        "import json, os, sys, measuring.result\n"
        "print('noise')\nprint(json.dumps([sys.argv[1:], os.environ['COLOUR']]))\n"
    )
    told = tool.fresh_process.run_module(tmp_path, "told", "a", "b", COLOUR="red")
    assert told == [["a", "b"], "red"]


def test_a_fresh_process_that_fails_is_told_by_its_last_line(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text("raise ValueError('too small')")
    with pytest.raises(RuntimeError, match=r"^failing ended with 1: ValueError: too small$"):
        tool.fresh_process.run_module(tmp_path, "failing")


def test_bytes_of_a_private_page_count_and_shared_ones_do_not(tool: SimpleNamespace) -> None:
    """32 MiB written here, and 32 MiB of a file's pages that another map holds, too."""
    import mmap
    import tempfile

    size = 32 * 2**20
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        other = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED)
        one = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED)
        other[:] = bytes(size)
        tool.resident_memory.forget_the_past()
        before = tool.resident_memory.private_bytes()
        written = bytearray(b"x") * size
        private = tool.resident_memory.private_bytes()
        assert private - before == pytest.approx(size, abs=2**20)
        assert one[: 2**20].count(0) == 2**20
        assert tool.resident_memory.private_bytes() - private < 4 * 2**20
        del written


@pytest.mark.parametrize(
    ("lines", "isa"),
    [
        ("flags\t\t: sse2 avx avx2 avx512f", "avx512"),
        ("flags\t\t: sse2 avx avx2", "avx2"),
        ("Features\t: fp asimd", "neon"),
        ("flags\t\t: sse2", "baseline"),
    ],
)
def test_the_widest_instructions_are_read_from_the_kernels_list(
    tool: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    isa: str,
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"model name\t: Fast CPU\n{lines}\n")
    monkeypatch.setattr(tool.machine, "CPUINFO", path)
    assert (tool.machine.widest_instructions(), tool.machine.processor_model()) == (isa, "Fast CPU")
