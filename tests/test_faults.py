"""tools/faults.py: what it prints, keeps and writes, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import faults
    from faulting import kept, outcome, registry, reliability_document

    return SimpleNamespace(
        command=faults, kept=kept, outcome=outcome, registry=registry, document=reliability_document
    )


@pytest.fixture
def canned(tool: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Puts one experiment in the place of all; returns the calls that it gets."""

    def put(*failures: str) -> list[Any]:
        calls: list[Any] = []

        def run(count: int, *, seed: int, scratch: Path) -> Any:
            calls.append((count, seed, list(scratch.iterdir())))
            return tool.outcome.Outcome("canned", "it holds", count, failures, {"MB": 1.23456}, 2.4)

        experiment = tool.registry.Experiment("canned", "kills", run)
        monkeypatch.setattr(tool.command, "EXPERIMENTS", (experiment,))
        return calls

    return put


def test_a_promise_that_holds_is_one_line_and_exit_status_0(
    tool: SimpleNamespace, canned: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = canned()
    assert tool.command.main(["--kills", "7", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "canned: 7 attempts, 0 failures; MB 1.23; 2 s\n"
    assert calls == [(7, 3, [])]


def test_a_broken_promise_is_shown_and_ends_with_exit_status_1(
    tool: SimpleNamespace, canned: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    canned("kill 1", "kill 2", "kill 3", "kill 4")
    assert tool.command.main(["--kills", "7"]) == 1
    head, *below = capsys.readouterr().out.splitlines()
    assert "7 attempts, 4 failures" in head
    assert below == ["  failed: kill 1", "  failed: kill 2", "  failed: kill 3", "  and 1 more"]


def test_the_newest_outcome_takes_the_place_of_the_last_and_the_others_stay(
    tool: SimpleNamespace, canned: Callable[..., list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "faults.json"
    circumstances = {"command": "by hand", "seed": 1, "scratch": tmp_path}
    for name in ("other", "canned"):
        tool.kept.keep(tool.outcome.Outcome(name, "it held", 1), path, **circumstances)
    canned("broken")
    assert tool.command.main(["--kills", "7", "--json", str(path), "--write-docs"]) == 1
    canned_, other = tool.kept.read_kept(path)
    assert (canned_.outcome.attempts, canned_.outcome.failures) == (7, ("broken",))
    assert canned_.command.startswith("python tools/faults.py --kills 7")
    assert (other.outcome.promise, other.command) == ("it held", "by hand")
    document = (tmp_path / "reliability.md").read_text()
    assert "| canned | it holds | 7 | 1 |" in document
    assert "* failed: broken" in document
    assert "| MB | 1.23 |" in document


def test_every_experiment_has_a_name_of_its_own_and_a_count_that_is_an_option(
    tool: SimpleNamespace,
) -> None:
    names = [experiment.name for experiment in tool.registry.EXPERIMENTS]
    assert len(set(names)) == len(names) > 0
    options = vars(tool.command.parser().parse_args([]))
    assert all(options[experiment.count] > 0 for experiment in tool.registry.EXPERIMENTS)


def test_the_repositorys_document_is_what_its_kept_outcomes_give(tool: SimpleNamespace) -> None:
    results = ROOT / "docs" / "results"
    kept = tool.kept.read_kept(results / "faults.json")
    assert (results / "reliability.md").read_text() == tool.document.compose(kept)
