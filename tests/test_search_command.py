"""`tomolift search` on a task of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tomolift.training import cli

pytest.importorskip("optuna", reason="Optuna is not installed (extra `search`)")


def test_a_search_trains_on_training_cases_alone_and_is_read_back_when_asked_again(
    tiny_task: Path,
    tiny_weights: Path,
    tiny_profile: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [
        "search",
        *("--profile", str(tiny_profile)),
        *("--data", str(tiny_task)),
        *("--weights", str(tiny_weights)),
        *("--epochs", "1"),
        *("--trials", "2"),
        *("--training", "every-slice"),
        *("--out", str(tmp_path)),
    ]
    assert cli.main(["search", *command[1:-4], "--trials", "0"]) == 2
    capsys.readouterr()
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "(paper)" in said
    evaluation = json.loads((tmp_path / "split.json").read_text())["parts"][0]
    kept = json.loads((tmp_path / "search" / "search.json").read_text())
    assert len(kept["trials"]) == 2
    names = sorted(folder.name.split("-")[0] for folder in (tmp_path / "search" / "runs").iterdir())
    assert len(names) == 3  # the 2D run that both trials start from, and the two
    for result in tmp_path.glob("search/runs/*/result.json"):
        judged = set(json.loads(result.read_text())["matrices"])
        assert judged == set(kept["held_out"])
        assert not judged & set(evaluation)
    assert cli.main(command) == 0
    assert capsys.readouterr().out == said
