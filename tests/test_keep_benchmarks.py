"""tools/compare_benchmarks.py --keep on what a finished run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
COST = "dense in place / copy_"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import compare_benchmarks
    from benchmark_history import history

    return SimpleNamespace(command=compare_benchmarks, history=history)


def keep(tool: SimpleNamespace, results: Path, path: Path, *more: str) -> int:
    arguments = ["--results", str(results), "--keep", str(path), *more]
    status: int = tool.command.main(arguments)
    return status


FACTS = {
    "suite": "ops", "sizes": "full", "processor": "Fast CPU", "isa": "avx512", "threads": 2,
    "torch": "2.13.0", "python": "3.11.9", "cuda_device": "NVIDIA H200", "cuda_capability": "9.0",
}  # fmt: skip


def case(name: str, device: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "name": f"test_{device}",
        "stats": {"median": 5e-3},
        "extra_info": {
            "device": device, "group": "2x3 float32", "rounds": {"ours": 15},
            "metrics": {name: {"value": value, "unit": unit}}, "medians_us": {"ours": 5000.12345},
            "share_of_copy_bandwidth": 0.123456,
        },
    }  # fmt: skip


def finished(folder: Path, *cases: dict[str, Any], **facts: Any) -> Path:
    document = {
        "machine_info": {"tomolift": FACTS | facts},
        "datetime": "2026-11-23T08:12:00.123456+00:00",
        "benchmarks": cases,
    }
    path = folder / "finished.json"
    path.write_text(json.dumps(document))
    return path


def test_a_finished_run_is_kept_one_file_a_device_and_the_targets_come_last(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished(
        tmp_path, case(COST, "cpu", 1.45678, "over"), case("CUDA dense float32", "cuda", 300, "us")
    )
    assert keep(tool, tmp_path, path, "--command", "nox -s benchmark -- -q") == 0
    cpu, cuda = tool.history.read_history(tmp_path / "benchmarks" / "ops")
    assert (cpu.machine.device, cpu.machine.isa, cpu.machine.threads) == ("Fast CPU", "avx512", 2)
    assert (cuda.machine.device, cuda.machine.isa) == ("NVIDIA H200", "9.0")
    assert (cpu.started, cpu.command) == ("2026-11-23T08:12:00", "nox -s benchmark -- -q")
    assert cpu.rows[0].metrics[COST].value == 1.457
    assert cpu.rows[0].extra == {"share_of_copy_bandwidth": 0.1235}
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[-1] for line in table].count("met") == 1
    assert table[0].split() == ["metric", "must", "aim", "measured", "verdict"]
    assert table[1].endswith("<= 1.7       <= 1.3     1.46      met")
    (line,) = (line for line in table if line.startswith("H200 dense float32 + uint8"))
    assert line.endswith("300 us    missed")


def test_tiny_sizes_are_shown_and_not_kept(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished(tmp_path, case(COST, "cpu", 1.5, "over"), sizes="tiny")
    assert keep(tool, tmp_path, path) == 0
    assert not (tmp_path / "benchmarks").exists()
    printed = capsys.readouterr().out
    assert printed.startswith("measured at --sizes tiny, not kept:\n")
    assert f"{COST}  1.50\n" in printed


def test_a_gpu_checks_report_is_kept_with_its_own_commit(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    one = case("CUDA dense float32", "cuda", 240.0, "us")
    report = {
        "started": "2026-11-23T09:00:00+00:00",
        "machine": {
            "device": "NVIDIA H200", "compute_capability": "9.0", "torch": "2.13.0",
            "python": "3.11.9", "commit": "0123456789abcdef", "uncommitted_changes": True,
        },
        "parts": {
            "benchmarks": {
                "status": "ran",
                "cases": [{"name": one["name"], "median_us": 5000.0, **one["extra_info"]}],
            }
        },
    }  # fmt: skip
    path = tmp_path / "gpu_check.json"
    path.write_text(json.dumps(report))
    assert keep(tool, tmp_path, path) == 0
    (run,) = tool.history.read_history(tmp_path / "benchmarks" / "ops")
    assert (run.label, run.machine.kind) == ("2026-11-23 0123456+", "cuda")
    assert (tmp_path / "benchmarks" / "ops" / "nvidia-h200" / "2026-11-23-0123456.json").exists()


def test_what_is_no_finished_run_is_refused_in_one_line(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"benchmarks": []}')
    assert keep(tool, tmp_path, path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "neither pytest-benchmark's JSON nor gpu_check's" in line


def test_a_run_is_kept_and_judged_by_its_own_suite(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished(tmp_path, case("raw() of an open cache", "cpu", 3.5, "us"), suite="data")
    assert keep(tool, tmp_path, path) == 0
    assert tool.history.read_history(tmp_path / "benchmarks" / "ops") == []
    (run,) = tool.history.read_history(tmp_path / "benchmarks" / "data")
    assert list(run.metrics) == ["raw() of an open cache"]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "3.50 us" in line)
    assert line.endswith("met")


def test_a_run_of_an_unknown_suite_is_refused(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished(tmp_path, case(COST, "cpu", 1.5, "over"), suite="other")
    assert keep(tool, tmp_path, path) == 2
    assert "no suite is called 'other'" in capsys.readouterr().err


def test_nothing_is_kept_where_no_benchmark_ran(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "finished.json"
    path.touch()
    assert keep(tool, tmp_path, path) == 0
    assert capsys.readouterr().out == "nothing was measured, nothing is kept\n"
    assert not (tmp_path / "benchmarks").exists()
