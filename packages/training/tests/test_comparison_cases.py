"""per_case.csv and epochs.csv as they are read, and whoever broke a cell is told which."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tomolift.training import ConfigError
from tomolift.training.comparison import analyse
from tomolift.training.comparison._cases import read_case_tables

Lines = list[list[str]]


@pytest.fixture
def edited(comparison_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the comparison, one file of which was edited line by line."""

    def edit(change: Callable[[Lines], Lines], *, name: str = "per_case.csv") -> Path:
        folder = tmp_path / "edited"
        shutil.copytree(comparison_folder, folder)
        with (folder / name).open(newline="") as stream:
            lines = change(list(csv.reader(stream)))
        with (folder / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(lines)
        return folder

    return edit


def set_cell(line: int, column: str, value: str) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        lines[line - 1][lines[0].index(column)] = value
        return lines

    return change


def test_pooled_figures_are_those_of_the_counts_summed_over_folds_by_hand(
    comparison_folder: Path,
) -> None:
    totals: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0])
    )
    with (comparison_folder / "per_case.csv").open(newline="") as stream:
        for line in csv.DictReader(stream):
            hit, false, missed = (
                int(line[f"{kind}"])
                for kind in ("true_positive", "false_positive", "false_negative")
            )
            sums = totals[line["arm"], line["seed"]][line["class"]]
            sums[0] += hit
            sums[1] += hit + false + missed
    for row in analyse(comparison_folder).rows:
        by_seed = [
            sum(hit / union for hit, union in totals[row.arm, seed].values()) / 3 for seed in "01"
        ]
        assert row.scores.mean_iou_pooled == pytest.approx(sum(by_seed) / 2)
        assert [each.mean_iou_pooled for each in row.by_seed.values()] == pytest.approx(by_seed)


def test_a_class_absent_from_truth_and_prediction_is_counted_as_excluded(
    comparison_folder: Path,
) -> None:
    rows = {row.arm: row for row in analyse(comparison_folder).rows}
    assert rows["average"].scores.excluded == (0, 0, 1)
    assert rows["background"].scores.collapsed
    assert rows["background"].label == "all background"


def test_the_order_of_the_lines_changes_no_figure(
    comparison_folder: Path, edited: Callable[..., Path]
) -> None:
    def shuffled(lines: Lines) -> Lines:
        head, body = lines[:4], lines[4:]  # the classes' order is that of the first case
        order = np.random.default_rng(1).permutation(len(body))
        return head + [body[index] for index in order]

    before = {row.arm: row.to_json(("a", "b", "c")) for row in analyse(comparison_folder).rows}
    after = {row.arm: row.to_json(("a", "b", "c")) for row in analyse(edited(shuffled)).rows}
    assert set(before) == set(after)
    for arm, row in before.items():
        assert after[arm]["mean_iou_pooled"] == row["mean_iou_pooled"]
        assert after[arm]["excluded"] == row["excluded"]


def test_a_row_that_somebody_added_goes_by_its_own_name(edited: Callable[..., Path]) -> None:
    def with_stranger(lines: Lines) -> Lines:
        return lines + [["other program", *line[1:]] for line in lines if line[0] == "average"]

    analysis = analyse(edited(with_stranger))
    rows = {row.arm: row for row in analysis.rows}
    assert rows["other program"].label == "other program"
    assert rows["other program"].scores == rows["average"].scores
    assert "other program" not in {outcome.contrast.first for outcome in analysis.contrasts}


def test_shares_of_the_training_cases_are_tables_of_their_own(edited: Callable[..., Path]) -> None:
    def halved(lines: Lines) -> Lines:
        body = [[*line, "1.0"] for line in lines[1:]]
        fewer = [[*line, "0.5"] for line in lines[1:] if line[0] == "random"]
        return [[*lines[0], "fraction"], *body, *fewer]

    tables = read_case_tables(edited(halved) / "per_case.csv")
    assert list(tables) == [1.0, 0.5]
    assert tables[0.5].arms == ("random",)
    assert (tables[0.5].of("random") == tables[1.0].of("random")).all()


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        (set_cell(3, "true_positive", "1.5"), r"line 3: true_positive = '1.5': expected a whole"),
        (set_cell(3, "false_negative", "-1"), r"line 3: false_negative = '-1': expected a whole"),
        (set_cell(3, "false_positive", "9" * 40), r"line 3: false_positive = '99"),
        (set_cell(3, "voxels", "7"), r"line 3: voxels: expected true_positive \+ false_negative"),
        (set_cell(5, "fold", "0"), r"case case_1 is in fold 1 here and in 0 before"),
        (lambda lines: lines + lines[-1:], r"stand on an earlier line"),
        (lambda lines: lines[:-1], r"arm scaling has no tumour of case case_9 with seed 1"),
        (lambda lines: [line[1:] for line in lines], r"column arm is missing; it has fold, seed"),
        (lambda lines: lines[:1], r"nothing but a header"),
        (lambda lines: [*lines[:2], lines[2][:-1], *lines[3:]], r"line 3: expected 9 cells"),
    ],
)
def test_a_broken_table_is_refused_with_line_cell_and_cure(
    edited: Callable[..., Path], change: Callable[[Lines], Lines], defect: str
) -> None:
    with pytest.raises(ConfigError, match=defect):
        analyse(edited(change))


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        (set_cell(2, "iou_tumour", "nan"), r"line 2: iou_tumour = 'nan': expected a number"),
        (set_cell(3, "epoch", "0"), r"line 3: epoch 0 of this run stands on an earlier line"),
        (set_cell(1, "iou_tumour", "iou_other"), r"column iou_tumour is missing"),
    ],
)
def test_broken_epochs_are_refused_with_line_and_cell(
    edited: Callable[..., Path], change: Callable[[Lines], Lines], defect: str
) -> None:
    with pytest.raises(ConfigError, match=defect):
        analyse(edited(change, name="epochs.csv"))


def test_a_folder_without_tables_names_the_command_that_writes_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"per_case.csv: not there; `tomolift reproduce --out"):
        analyse(tmp_path)


def test_bytes_that_are_no_text_are_refused(comparison_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(comparison_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "per_case.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no CSV file"):
        analyse(tmp_path)
    shutil.copytree(comparison_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "provenance.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"provenance.json: expected an object"):
        analyse(tmp_path)
