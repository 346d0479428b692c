"""Flipped bits, bombs, planted code and builders at once: found, refused, not run, no matter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tomolift.data import _check, _files

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools"


@pytest.fixture
def faulting(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(TOOLS))
    from faulting import bomb_meeting, bombs, builders, flips, nothing_executes

    return SimpleNamespace(
        bomb_meeting=bomb_meeting,
        bombs=bombs,
        builders=builders,
        flips=flips,
        nothing_executes=nothing_executes,
    )


def test_every_flipped_bit_is_found(faulting: SimpleNamespace, memory_folder: Path) -> None:
    outcome = faulting.flips.run(300, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    kinds = ("CACHE.json", "images", "journal.jsonl", "labels", "records")
    assert all(outcome.figures[f"flips in {kind}"] > 0 for kind in kinds)


def test_a_check_that_skips_the_journal_is_found_out(
    faulting: SimpleNamespace, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_check, "damaged_lines", lambda cache: [])
    outcome = faulting.flips.run(100, seed=0, scratch=memory_folder)
    assert outcome.failures
    assert all("journal.jsonl: not found by check" in failure for failure in outcome.failures)


def test_bombs_are_refused_in_little_memory(faulting: SimpleNamespace, memory_folder: Path) -> None:
    outcome = faulting.bombs.run(1500, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    assert 0 <= outcome.figures["gzip of zeros: MB"] < 8


def test_the_memory_that_a_bomb_takes_is_measured(faulting: SimpleNamespace) -> None:
    freed = [np.ones(1_000_000, np.uint8) for _ in range(100)]
    del freed[::2], freed[:]  # what malloc has kept of it must not hide what comes
    faulting.bomb_meeting.forget_the_past()
    before = faulting.bomb_meeting.peak_megabytes()
    taken = np.ones(30_000_000, np.uint8)
    assert taken.all()
    del taken
    rise = faulting.bomb_meeting.peak_megabytes() - before
    assert 29 < rise < 45  # pages and what the allocator keeps


def test_planted_code_does_not_run(faulting: SimpleNamespace, memory_folder: Path) -> None:
    outcome = faulting.nothing_executes.run(8, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    assert outcome.figures["executions of the control"] == 12
    assert outcome.figures["slots"] >= 14


def test_a_reader_that_unpickles_is_found_out(memory_folder: Path) -> None:
    program = (
        "import pickle, sys\n"
        "from faulting import planting\n"
        "def careless(cache, task):\n"
        "    try:\n"
        "        pickle.loads((cache / 'journal.jsonl').read_bytes())\n"
        "    except Exception:\n"
        "        pass\n"
        "planting.read_all = careless\n"
        "planting.main('3', sys.argv[1])\n"
    )
    command = [sys.executable, "-c", program, str(memory_folder)]
    done = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True, check=True)
    failures = json.loads(done.stdout)["failures"]
    assert any("in journal.jsonl: pickle.find_class" in failure for failure in failures)


def test_builders_at_once_end_in_one_cache(faulting: SimpleNamespace, memory_folder: Path) -> None:
    outcome = faulting.builders.run(5, seed=0, scratch=memory_folder)
    assert outcome.failures == ()
    assert outcome.figures["builders that ended well without a lock"] == 40


def test_builders_that_share_a_temporary_name_are_found_out(
    faulting: SimpleNamespace, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "temporary_path", lambda folder, name: folder / f"{name}.tmp")
    outcome = faulting.builders.run(2, seed=0, scratch=memory_folder)
    assert any("without a lock" in failure for failure in outcome.failures)
