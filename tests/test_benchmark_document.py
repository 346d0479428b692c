"""docs/results/ops.md is generated: from canned runs, and from those that the repository keeps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
CANNED = Path(__file__).parent / "canned_benchmarks"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import compare_benchmarks
    from benchmark_history import document, history, targets

    return SimpleNamespace(
        command=compare_benchmarks, document=document, history=history, targets=targets
    )


def test_the_document_follows_from_the_kept_runs_alone(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    shutil.copytree(CANNED / "benchmarks", tmp_path / "benchmarks")
    arguments = ["--write-docs", "--results", str(tmp_path)]
    arguments += ["--targets", str(CANNED / "targets.toml")]
    assert tool.command.main(arguments) == 0
    assert (tmp_path / "ops.md").read_text() == (CANNED / "ops.md").read_text()
    plot = (tmp_path / "ops-ratios.png").read_bytes()
    assert plot.startswith(b"\x89PNG")
    assert tool.command.main(arguments) == 0
    assert (tmp_path / "ops-ratios.png").read_bytes() == plot


def test_a_narrower_processor_is_shown_without_a_verdict(tool: SimpleNamespace) -> None:
    run = tool.history.read_history(CANNED / "benchmarks")[-1]
    narrower = replace(run, machine=replace(run.machine, isa="avx2"))
    standing = tool.targets.judge(tool.targets.read_targets(CANNED / "targets.toml"), [narrower])[1]
    assert standing.cells[-2:] == ("14.0 x on Fast CPU, avx2, 2 threads", "not run")


def test_the_repositorys_document_is_what_its_kept_runs_give(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    results = ROOT / "docs" / "results"
    targets = tool.targets.read_targets(ROOT / "packages" / "ops" / "benchmarks" / "targets.toml")
    runs = tool.history.read_history(results / "benchmarks")
    tool.document.write_document(runs, targets, tmp_path)
    assert (results / "ops.md").read_text() == (tmp_path / "ops.md").read_text()
    names = {path.name for path in tmp_path.iterdir()}
    assert all((results / name).exists() for name in names)
