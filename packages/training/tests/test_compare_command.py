"""`tomolift compare`: the report again, from the CSV files alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tomolift.training import cli


@pytest.fixture
def folder(comparison_folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    shutil.copytree(comparison_folder, out)
    return out


def refuse(word: str) -> float:
    raise AssertionError(f"{word} in report.json")


def report(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "report.json").read_text(), parse_constant=refuse)
    return values


def test_tables_statistics_and_figures_come_from_two_csv_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(folder)]) == 0
    values = report(folder)
    assert [row["arm"] for row in values["table"]] == [
        "background", "2d", "random", "average", "scaling"
    ]  # fmt: skip
    assert values["provenance"] is None
    assert [each["first"] for each in values["contrasts"]] == [
        "average", "scaling", "average", "average"
    ]  # fmt: skip
    for name in ("curves", "classes", "contrasts"):
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "average - random" in printed
    assert "Table 1" in printed


def test_the_same_files_give_the_same_report_to_the_byte(folder: Path) -> None:
    names = ["report.json", "report.md", "figures/curves.png"]
    assert cli.main(["compare", str(folder)]) == 0
    before = [(folder / name).read_bytes() for name in names]
    assert cli.main(["compare", str(folder)]) == 0
    assert [(folder / name).read_bytes() for name in names] == before


def test_comparing_imports_no_torch(folder: Path) -> None:
    script = (
        "import sys\nfrom tomolift.training.cli import main\n"
        f"assert main(['compare', {str(folder)!r}]) == 0\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_text_says_what_p_means_and_what_cannot_be_shown(folder: Path) -> None:
    assert cli.main(["compare", str(folder)]) == 0
    text = (folder / "report.md").read_text()
    assert "in that share of all assignments of signs" in text
    assert "corrected for the 4 contrasts" in text
    assert "From few cases (10 here) they are too narrow" in text
    assert "One fold" not in text
    lines = (folder / "per_case.csv").read_text().splitlines()
    kept = [line for line in lines if ",0,0,case_" in line or line.startswith("arm,")]
    (folder / "per_case.csv").write_text("\n".join(kept) + "\n")
    assert cli.main(["compare", str(folder)]) == 0
    text = (folder / "report.md").read_text()
    assert "One fold" in text
    assert "One seed" in text
    assert "5 cases cannot give a p below 0.062" in text


def test_every_table_of_the_text_has_as_many_cells_as_its_header(folder: Path) -> None:
    assert cli.main(["compare", str(folder)]) == 0
    widths: list[int] = []
    for line in (folder / "report.md").read_text().splitlines():
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(line.count("|"))
        assert set(widths) == {widths[0]}, line


def test_a_missing_folder_or_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(tmp_path / "nowhere")]) == 2
    assert "no folder; give the --out" in capsys.readouterr().err
    assert cli.main(["compare", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "per_case.csv: not there" in error
    assert error.count("\n") == 1
