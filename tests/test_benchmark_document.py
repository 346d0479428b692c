"""docs/results/SUITE.md is generated: from canned runs, and from those the repository keeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
    from benchmark_history import document, history, suites, targets

    return SimpleNamespace(
        command=compare_benchmarks,
        document=document,
        history=history,
        suites=suites,
        targets=targets,
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
    run = tool.history.read_history(CANNED / "benchmarks" / "ops")[-1]
    narrower = replace(run, machine=replace(run.machine, isa="avx2"))
    suite = tool.suites.read_suite(CANNED / "targets.toml")
    standing = tool.targets.judge(suite.targets, [narrower])[1]
    assert standing.cells[-2:] == ("14.0 x on Fast CPU, avx2, 2 threads", "not run")


@pytest.mark.parametrize("name", ["data", "inflation", "ops"])
def test_the_repositorys_document_is_what_its_kept_runs_give(
    tool: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    results = ROOT / "docs" / "results"
    (suite,) = (suite for suite in tool.suites.find_suites(ROOT) if suite.name == name)
    runs = tool.history.read_history(results / "benchmarks" / name)
    if suite.section:  # the rest of the document is not from the runs
        shutil.copy(results / f"{name}.md", tmp_path)
    tool.document.write_document(suite, runs, tmp_path)
    assert (results / f"{name}.md").read_text() == (tmp_path / f"{name}.md").read_text()
    names = {path.name for path in tmp_path.iterdir()}
    assert all((results / name).exists() for name in names)


HEAD, TAIL = "# Ours\n\n## Before\n\n", "\n\n## Behind\n"
COMMENTS = "<!-- figures: begin -->", "<!-- figures: end -->"


def test_a_suite_that_has_a_section_leaves_the_rest_of_the_document_alone(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    suite = replace(tool.suites.read_suite(CANNED / "targets.toml"), section="figures")
    path = tmp_path / "ops.md"
    path.write_text(f"{HEAD}{COMMENTS[0]}\nold figures\n{COMMENTS[1]}{TAIL}")
    tool.document.write_document(suite, [], tmp_path)
    written = path.read_text()
    assert written.startswith(f"{HEAD}{COMMENTS[0]}\n\n## {suite.title}\n")
    assert written.endswith(f"{COMMENTS[1]}{TAIL}")
    assert "old figures" not in written
    assert "\n### Targets\n" in written
    tool.document.write_document(suite, [], tmp_path)
    assert path.read_text() == written


@pytest.mark.parametrize(
    "text",
    [None, HEAD, COMMENTS[0], "".join(COMMENTS[::-1]), "".join([*COMMENTS, *COMMENTS])],
    ids=["no document", "no comment", "no end", "the wrong way round", "twice"],
)
def test_a_document_without_one_place_for_the_section_is_not_written(
    tool: SimpleNamespace, tmp_path: Path, text: str | None
) -> None:
    suite = replace(tool.suites.read_suite(CANNED / "targets.toml"), section="figures")
    path = tmp_path / "ops.md"
    if text is not None:
        path.write_text(text)
    with pytest.raises(tool.document.HistoryError, match=r"ops\.md: no place for the suite ops "):
        tool.document.write_document(suite, [], tmp_path)
    assert not path.exists() or path.read_text() == text


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: text.replace("title =", "heading ="), "not a suite and its targets"),
        (lambda text: text.replace('unit = "over"', 'unit = "furlongs"'), "has no known unit"),
        (lambda text: text.replace("measured =", "# measured ="), "not a suite and its targets"),
        (lambda text: text[:-3] + "=", "not a suite and its targets"),
    ],
)
def test_a_malformed_suite_is_named_in_one_line(
    tool: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[str], str],
    what: str,
) -> None:
    path = tmp_path / "targets.toml"
    path.write_text(damage((CANNED / "targets.toml").read_text()))
    assert tool.command.main(["--targets", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"compare_benchmarks: {path}: ")
    assert what in line


def test_two_suites_of_one_name_are_refused(
    tool: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(CANNED / "targets.toml")
    assert tool.command.main(["--targets", path, path]) == 2
    assert "another suite is called ops, too" in capsys.readouterr().err
