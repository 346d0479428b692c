"""tools/compare_benchmarks.py on canned runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SPEED, COST = "dense in place, times eager", "dense in place / copy_"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import compare_benchmarks
    from benchmark_history import collecting, runs

    return SimpleNamespace(command=compare_benchmarks, collecting=collecting, runs=runs)


@pytest.fixture
def kept(tool: SimpleNamespace, tmp_path: Path) -> Callable[..., Any]:
    """Keeps a run of day `day` with the given metrics on the given machine."""

    def keep(day: int, metrics: dict[str, tuple[float, str]], **machine: Any) -> Any:
        facts = {"kind": "cpu", "device": "Fast CPU", "isa": "avx512", "threads": 2}
        row = tool.runs.Row(
            name="test_dense",
            group="2x3 float32",
            metrics={name: tool.runs.Metric(*metric) for name, metric in metrics.items()},
            medians_us={"ours": 5000.0},
            rounds={"ours": 15},
            extra={
                "torchmetrics": "not installed",
                "share_of_copy_bandwidth": 0.8765,
                "extra_bytes": {"ours": 0, "eager": 210 * 2**20},
            },
        )
        run = tool.runs.Run(
            started=f"2026-11-{day:02d}T08:00:00",
            commit=f"abc00{day:02d}",
            uncommitted_changes=False,
            command="nox -s benchmark",
            machine=tool.runs.Machine(**(facts | machine), torch="2.13.0"),
            rows=(row,),
        )
        tool.collecting.keep(run, tmp_path / "benchmarks" / "ops")
        return run

    return keep


def compare(tool: SimpleNamespace, results: Path, *more: str) -> int:
    status: int = tool.command.main(["--results", str(results), *more])
    return status


def test_a_speed_up_that_fell_by_more_than_15_percent_fails(
    tool: SimpleNamespace,
    kept: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept(1, {SPEED: (20.0, "times")})
    kept(2, {SPEED: (16.9, "times")})
    assert compare(tool, tmp_path) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"fell: {SPEED}: 20.0 x (2026-11-01 abc0001) -> 16.9 x (2026-11-02 abc0002), 16% worse on "
        "Fast CPU, avx512, 2 threads"
    )


@pytest.mark.parametrize(
    ("unit", "before", "now", "status"),
    [
        ("times", 20.0, 17.1, 0),
        ("times", 20.0, 40.0, 0),
        ("over", 1.7, 2.1, 1),
        ("over", 1.7, 1.9, 0),
        ("over", 1.7, 1.0, 0),
        ("us", 50.0, 500.0, 0),
        ("MiB", 4.0, 400.0, 0),
    ],
)
def test_which_way_a_figure_is_worse_follows_from_its_unit_and_only_ratios_count(
    tool: SimpleNamespace,
    kept: Callable[..., Any],
    tmp_path: Path,
    unit: str,
    before: float,
    now: float,
    status: int,
) -> None:
    kept(1, {"x": (before, unit)})
    kept(2, {"x": (now, unit)})
    assert compare(tool, tmp_path) == status


@pytest.mark.parametrize(
    "other", [{"device": "Slow CPU"}, {"isa": "avx2"}, {"threads": 4}, {"kind": "cuda"}]
)
def test_runs_of_another_machine_are_not_compared(
    tool: SimpleNamespace, kept: Callable[..., Any], tmp_path: Path, other: dict[str, Any]
) -> None:
    kept(1, {SPEED: (20.0, "times")})
    kept(2, {SPEED: (2.0, "times")}, **other)
    assert compare(tool, tmp_path) == 0


def test_a_fall_is_found_behind_runs_of_other_machines(
    tool: SimpleNamespace, kept: Callable[..., Any], tmp_path: Path
) -> None:
    kept(1, {SPEED: (20.0, "times")})
    kept(2, {SPEED: (30.0, "times")}, device="Other CPU")
    kept(3, {SPEED: (10.0, "times")})
    kept(4, {"CUDA": (30.0, "times")}, kind="cuda", device="A GPU", isa="9.0", threads=None)
    assert compare(tool, tmp_path) == 1


def test_a_fall_that_a_later_run_has_made_good_does_not_fail(
    tool: SimpleNamespace, kept: Callable[..., Any], tmp_path: Path
) -> None:
    for day, speed in enumerate((20.0, 10.0, 20.0), start=1):
        kept(day, {SPEED: (speed, "times")})
    assert compare(tool, tmp_path) == 0


def test_a_row_that_one_run_lacks_is_held_against_the_last_that_had_it(
    tool: SimpleNamespace,
    kept: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept(1, {SPEED: (20.0, "times"), COST: (1.5, "over")})
    kept(2, {SPEED: (20.0, "times")})
    assert compare(tool, tmp_path) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(COST))
    assert line.removeprefix(COST).split() == ["1.50", "-"]
    kept(3, {COST: (3.0, "over")})
    assert compare(tool, tmp_path) == 1


def test_without_a_kept_run_it_says_how_to_make_one(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tool, tmp_path) == 0
    assert capsys.readouterr().out == "no run was kept yet: nox -s benchmark\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"started"', '"begun"'),
        lambda text: text.replace('"times"', '"furlongs"'),
        lambda text: text.replace("20.0", "NaN"),
        lambda text: text.replace("20.0", '"fast"'),
        lambda text: "[]",
        lambda text: text.replace('"rows"', '"lines"'),
    ],
)
def test_a_malformed_file_is_named_in_one_line(
    tool: SimpleNamespace,
    kept: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[str], str],
) -> None:
    kept(1, {SPEED: (20.0, "times")})
    (path,) = tmp_path.rglob("*.json")
    path.write_text(damage(path.read_text()))
    assert compare(tool, tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"compare_benchmarks: {path}: ")


def test_two_runs_of_a_day_and_commit_are_both_kept(
    tool: SimpleNamespace, kept: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [kept(1, {SPEED: (speed, "times")}) for speed in (20.0, 21.0)]
    folder = tmp_path / "benchmarks" / "ops" / "fast-cpu"
    names = ["2026-11-01-abc0001.json", "2026-11-01-abc0001-2.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert [tool.runs.read_run(folder / name) for name in names] == runs
