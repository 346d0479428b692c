"""Rows beyond the paper and fractions of the training cases, through the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tomolift.training import cli

ARMS = "2d,average+replicate,average+none,slicewise+learning_rate=5e-4"


@pytest.fixture(scope="module")
def finished(
    tiny_task: Path,
    tiny_weights: Path,
    tiny_profile: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("rows")
    arguments = [
        "reproduce",
        *("--profile", str(tiny_profile)),
        *("--data", str(tiny_task)),
        *("--weights", str(tiny_weights)),
        *("--arms", ARMS),
        *("--fractions", "0.5,1"),
        *("--epochs", "1"),
        *("--training", "stride"),
        *("--out", str(out)),
    ]
    assert cli.main(arguments) == 0
    return out


def test_every_row_is_run_at_every_fraction(finished: Path) -> None:
    names = [folder.name.rsplit("-", 1)[0] for folder in finished.glob("runs/*")]
    expected = [f"{arm}-fold0-seed0" for arm in ARMS.split(",")]
    expected += [f"{name}-fraction0.5" for name in expected]
    assert sorted(names) == sorted(expected)


def test_the_report_has_a_row_for_every_name_and_says_what_it_does_differently(
    finished: Path,
) -> None:
    table = json.loads((finished / "report.json").read_text())["table"]
    assert [row["arm"] for row in table][2:] == ARMS.split(",")
    assert table[3]["label"].endswith("; depth_padding replicate")


def test_fractions_train_on_fewer_cases_and_are_judged_on_the_same(finished: Path) -> None:
    cases, steps = {}, {}
    for folder in finished.glob("runs/average+replicate-*"):
        with (folder / "per_case.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        (fraction,) = {row["fraction"] for row in rows}
        cases[fraction] = {(row["case"], row["voxels"]) for row in rows}
        steps[fraction] = json.loads((folder / "metrics.jsonl").read_text().splitlines()[1])
    assert cases["0.5"] == cases["1.0"]
    assert (steps["0.5"]["steps"], steps["1.0"]["steps"]) == (1, 2)


def test_a_row_of_its_own_is_resumed_by_its_folder(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = finished.glob("runs/average+replicate-*fraction*")
    before = (run / "result.json").read_text()
    assert cli.main(["resume", str(run)]) == 0
    assert (run / "result.json").read_text() == before
    assert str(run) in capsys.readouterr().out
