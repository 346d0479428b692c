"""Writes the report of a finished comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._files import write_json, write_text
from .._result import RunResult
from .._run import Experiment
from .._source import Source
from ._curves import draw_classes, draw_curves
from ._overlays import draw_overlays
from ._provenance import provenance
from ._table import Row, make_table
from ._text import markdown_table, remarks


def write_report(experiment: Experiment, results: Sequence[RunResult], out: Path) -> list[Row]:
    """Write report.json, report.md and figures/ into `out`.

    Returns:
        The rows of the table.
    """
    class_names = experiment.cache.label_names
    rows = make_table(experiment, results)
    facts = provenance(experiment, results)
    draw_curves(results, rows, out / "figures" / "curves.png")
    draw_classes(rows, class_names, out / "figures" / "classes.png")
    draw_overlays(results, out / "figures" / "overlays.png")
    write_text(out / "report.md", _markdown(experiment, rows, facts))
    table = [row.to_json(class_names) for row in rows]
    write_json(out / "report.json", {"table": table, "provenance": facts})
    return rows


def _markdown(experiment: Experiment, rows: Sequence[Row], facts: dict[str, Any]) -> str:
    class_names = experiment.cache.label_names
    split = experiment.split
    evaluated = sum(len(split.evaluation(fold)) for fold in facts["folds"])
    return "\n".join(
        [
            f"# tomolift: {facts['task']}, profile {experiment.config.name}",
            "",
            f"{len(facts['cases'])} cases, {evaluated} of them evaluated "
            f"(folds {facts['folds']} of {len(split.parts)}, seeds {facts['seeds']}); "
            f"2D source: {_source_line(experiment.source)}. The paper's column is MSD pancreas "
            "CT with a VOC network: other data, for orientation only, unless that ran here.",
            "",
            markdown_table(rows, class_names),
            *(f"* {line}" for line in remarks(rows, class_names)),
            "",
            "![learning curves](figures/curves.png)",
            "![classes](figures/classes.png)",
            "![overlays](figures/overlays.png)",
            "",
            "## Provenance",
            "",
            f"* command: `{facts['command']}`",
            f"* finished {facts['finished']} on {facts['device']}, {facts['precision']}, "
            f"torch {facts['versions']['torch']}, commit {facts['commit']}",
            f"* cache {facts['cache_fingerprint']}, split {facts['split_sha256'][:12]}",
            f"* dropped: {_counted(facts['dropped'])}; failed: {_counted(facts['failed'])}",
            "* the resolved configuration stands in report.json",
            "",
        ]
    )


def _counted(cases: dict[str, Any]) -> str:
    return ", ".join(f"{case} ({why})" for case, why in cases.items()) or "none"


def _source_line(source: Source | None) -> str:
    if source is None:
        return "none"
    facts = ", ".join(f"{name.replace('_', ' ')} {v:.4g}" for name, v in source.facts.items())
    return f"{source.origin} (sha256 {source.sha256[:12]}{', ' if facts else ''}{facts})"
