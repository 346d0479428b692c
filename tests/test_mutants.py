"""The mutants of tools/faulting: few of them here, and bugs planted for them to find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tomolift.data import BadInput, _headers, _journal, _manifest

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(TOOLS))
    from faulting import mutants, mutants_campaign, mutants_depth, mutants_target

    return SimpleNamespace(
        mutants=mutants,
        campaign=mutants_campaign,
        depth=mutants_depth,
        target=mutants_target,
        of={target.name: target for target in (*mutants.OWN, mutants.ORACLE)},
    )


@pytest.fixture
def run(tool: SimpleNamespace, tmp_path: Path) -> Callable[..., Any]:
    """Run a target by name, or one that looks at mutants as told, and return its tally."""

    def run(target: Any, count: int) -> Any:
        if not isinstance(target, str):
            trial = tool.target.Trial(lambda random: random.randrange(10), target)
            target = tool.target.Target("planted", 1.0, lambda folder: trial)
        else:
            target = tool.of[target]
        return tool.campaign.run_target(target, count, seed=1, scratch=tmp_path)

    return run


@pytest.mark.parametrize(
    ("name", "count"),
    [("header", 3000), ("stream", 1500), ("volume", 60), ("dataset_json", 800), ("task", 20),
     ("manifest", 300), ("record", 200), ("journal", 200), ("npy", 60), ("archive", 300)],
)  # fmt: skip
def test_a_parser_accepts_sane_mutants_and_refuses_the_others(
    run: Callable[..., Any], name: str, count: int
) -> None:
    tally = run(name, count)
    assert tally.told() == ()
    assert tally.attempts == count == sum(tally.outcomes.values())
    # neither all well nor all stopped at the first check
    assert 0.01 < tally.outcomes["accepted"] / count < 0.95


def test_nibabel_reads_what_our_reader_accepts(run: Callable[..., Any]) -> None:
    tally = run("nibabel", 600)
    assert tally.told() == ()
    assert tally.outcomes["accepted"] > 300


def test_every_check_of_the_header_is_reached(
    tool: SimpleNamespace, run: Callable[..., Any]
) -> None:
    reached = tool.depth.refusals_reached(run("header", 16000).sites)
    met, _, all_of_them = reached["refusals reached in _headers"].split()
    assert met == all_of_them


def test_an_outcome_counts_every_mutant_and_names_what_became_of_each_share(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    outcome = tool.mutants.run(60, seed=0, scratch=tmp_path)
    assert outcome.failures == ()
    assert outcome.attempts == sum(
        int(str(outcome.figures[target.name]).split()[0]) for target in tool.mutants.OWN
    )
    assert "header: " not in outcome.figures["header"]
    assert "accepted" in outcome.figures["header"]
    assert sum(target.share for target in tool.mutants.OWN) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["header", "stream", "dataset_json", "manifest", "archive"])
def test_a_mutant_is_a_function_of_target_seed_and_index(
    tool: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    target = tool.of[name]
    made = []
    for turn, order in enumerate((range(20), reversed(range(20)))):
        folder = tmp_path / str(turn)
        folder.mkdir()
        trial = target.prepare(folder)
        made.append({i: trial.make(tool.target.generator(target, 5, i)) for i in order})
    assert made[0] == made[1]
    assert made[0] != {i: trial.make(tool.target.generator(target, 6, i)) for i in range(20)}


def test_a_header_s_parser_without_a_check_is_found(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_headers, "_data_offset", lambda offset, path: int(offset))
    (line,) = run("header", 2000).told()
    assert "accepted, but not: voxels behind the header" in line


def test_an_affine_that_nibabel_does_not_see_is_found(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_headers, "MOST_FORM_CODE", 32767)
    assert "nibabel's affine" in " ".join(run("nibabel", 1500).told())


@pytest.mark.parametrize(("module", "name"), [(_journal, "journal"), (_manifest, "manifest")])
def test_entries_that_are_believed_because_they_are_signed_are_found(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    monkeypatch.setattr(module, "is_sound_entry", lambda entry: True)
    assert run(name, 400).told() != ()


def test_a_crash_costs_one_mutant_and_names_it(run: Callable[..., Any]) -> None:
    def look(mutant: int) -> None:
        if mutant == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    tally = run(look, 30)
    assert tally.attempts == 30
    (line,) = tally.told()
    assert "planted 1 " in line
    assert line.endswith("its process died (SIGKILL)")


def test_a_target_that_always_dies_ends_and_says_so(run: Callable[..., Any]) -> None:
    tally = run(lambda mutant: os._exit(3), 200)
    assert any("its process always dies" in line for line in tally.told())


def test_a_mutant_without_an_end_is_found(
    tool: SimpleNamespace, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.campaign, "STUCK_SECONDS", 0.3)
    tally = run(lambda mutant: time.sleep(60) if mutant == 7 else None, 8)
    assert all("no end after 0.3 s" in line for line in tally.told())
    assert tally.outcomes["failed"] > 0


def test_a_slow_mutant_is_found(
    tool: SimpleNamespace, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.campaign, "HANG_SECONDS", 0.05)
    (line,) = run(lambda mutant: sum(range(10**7)) and None, 1).told()
    assert "planted 1 0: 0." in line


@pytest.mark.parametrize(("size", "words"), [(2**27, "MiB more"), (2**31, "MemoryError")])
def test_memory_beyond_the_bound_is_found(run: Callable[..., Any], size: int, words: str) -> None:
    assert words in " ".join(run(lambda mutant: bytearray(size) and None, 2).told())


def _two_lines(mutant: int) -> None:
    raise KeyError("two\nlines")


def _warn(mutant: int) -> None:
    import warnings

    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def _talk(mutant: int) -> None:
    raise BadInput("E_HEADER", "a", "", "x" * 2000)


@pytest.mark.parametrize(
    ("look", "words"),
    [(_two_lines, "KeyError"), (_warn, "RuntimeWarning"), (_talk, "2016 characters")],
)
def test_other_exceptions_warnings_and_long_messages_are_found(
    run: Callable[..., Any], look: Callable[[int], None], words: str
) -> None:
    tally = run(look, 3)
    assert tally.outcomes == {"failed": 3}
    (line,) = tally.told()
    assert line.startswith("3 x planted 1 0: ")
    assert words in line


def test_a_mutant_can_be_repeated_by_what_a_failure_names() -> None:
    command = [sys.executable, str(TOOLS / "faulting" / "mutants_repeat.py"), "header", "1", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    mutant, verdict = done.stdout.splitlines()
    assert mutant.startswith(("b'", 'b"'))
    assert verdict == "accepted" or verdict.startswith("refused: a.nii: ")
